"""The repos and Git credentials APIs: Git folders are real clones."""
