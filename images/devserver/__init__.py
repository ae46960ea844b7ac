"""The recipe of the development server's image."""
