"""``python -m init_net.training``: `train-hands`, as torchrun starts it."""

from init_net.training.command import train_hands

train_hands()
