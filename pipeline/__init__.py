"""The sentence: campaigns chain generators into screening into the laboratory and learn from what comes back."""
