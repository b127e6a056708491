"""The scripts that trained the two small digit models in ``w2vlearn/data``. Nothing in the package imports them."""
