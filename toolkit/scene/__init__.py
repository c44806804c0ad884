"""The teaching scene: one simulated region and city, seen by five sensors, truth known."""
