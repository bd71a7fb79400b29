"""How the working ion moves: hops between its sites, barriers of single hops, room and bond valence on a grid."""
