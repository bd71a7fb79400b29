"""Redoxa: discovery campaigns for battery electrode materials. The rooms are the folders of the repository."""
