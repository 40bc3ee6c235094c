"""Other authors' methods, in short versions with their sources.

`linear` has methods for corrupted outputs in linear models, `labels` those for wrong labels, `backdoors` defences, and
`images` simple scores in place of a GAN's discriminator.
"""
