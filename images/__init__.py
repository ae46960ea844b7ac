"""Make the build contexts of the images, from this machine's own package sources."""
