"""Taking ions out of crystals and putting them in."""
