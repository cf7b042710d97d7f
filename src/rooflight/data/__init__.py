"""Images and text: found, decoded, checked, and augmented on the device."""
