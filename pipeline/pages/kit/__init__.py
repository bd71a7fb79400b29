"""What every page is made of: text, figures, structures."""
