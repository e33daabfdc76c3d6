"""The decoders f of Yu et al. 2023, eq. 2, ``M_np = f(z)``, behind one interface.

Yu et al. 4.1 takes "a Graph Convolution Network, a Mesh Transformer Network and a MANO layer
network" as they are in other papers: spiral convolutions (`spiral`), a mesh transformer
(`transformer`) and the parameters of a hand model (`parametric`). Each is a `MeshDecoder`.
"""
