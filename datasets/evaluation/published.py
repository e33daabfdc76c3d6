"""Rows of the papers' tables as they are printed; numbers in brackets are the papers' references.

One line a row, cells between bars, empty where the paper prints none. "freihand" gathers figures
from several papers. Zhao's Table 2 has OpenPose's keypoints as the supervision of both rows.
"""

from __future__ import annotations

_TEXT = {
    "freihand": """
S2HAND|11.8|11.9|0.48|0.92
Zhao, MANO|12.4|12.2|0.46|0.91
Zhao, NIMBLE|16.0|||
MANO CNN||10.9|0.516|0.934
RealisticHands, MediaPipe keypoints||9.7|0.575|0.949
RealisticHands, PoseNet keypoints||7.8|0.662|0.971
Yu et al., GCN|7.42|7.43||
Yu et al., Trans|7.28|7.33||
METRO|6.6|6.7|0.721|0.981
simpleHand|5.7|6.0|0.772|0.986
HaMeR|6.0|5.7|0.785|0.990
WiLoR|5.5|5.1|0.825|0.993
""",
    "s2hand2": """
3D|[53] (2019)|0.35|3.50|0.74|1.32|0.43|0.90
3D|[20] (2019)|0.74|1.33|0.74|1.33|0.43|0.91
3D|[7] (2019)|0.78|1.10|0.78|1.09|0.52|0.93
3D|[35] (2020)|0.78|1.11|0.78|1.10|0.51|0.93
2D|[37] (2020)*|0.78|1.13||||
none|S2HAND|0.77|1.18|0.77|1.19|0.48|0.92
""",
    "s2hand3": """
3D|[20] (2019)||||1.30|0.42|0.90
3D|[18] (2020)||||1.06|0.51|0.94
3D|[19] (2020)|0.773|1.11|0.773|1.14|0.43|0.93
none|S2HAND|0.773|1.14|0.777|1.12|0.45|0.93
""",
    "seeber1": """
Mean shape|1.64|0.336|0.837|yes|
Inverse Kinematics [42]|1.37|0.439|0.892|yes|
Hasson et al. [14]|1.33|0.429|0.907|yes|yes
Boukhayma et al. [3]|1.32|0.427|0.894|yes|yes
Mano CNN [42]|1.09|0.516|0.934|yes|yes
Kulon et al. [21]|0.86|0.614|0.966|no|no
I2L [27]|0.76|0.681|0.973|no|no
RealisticHands (Mono, MP Hands)|0.97|0.575|0.949|yes|no
RealisticHands (Mono, PoseNet(I2L))|0.78|0.662|0.971|yes|no
""",
    "seeber3": """
HSV|0.33|0.90|0.18|0.72
CNN [4]|0.77|0.97|0.93|0.99
UMA [4]|0.78|0.98|0.93|0.99
RealisticHands|0.80|0.98|0.95|0.99
""",
    "seeber4": """
Monocular|1.65|0.352|0.860
Stereo|0.94|0.578|0.967
""",
    "seeber9": """
RealisticHands, MP Hands|0|0.677
RealisticHands, MP Hands|3|0.706
RealisticHands, MP Hands|10|0.735
RealisticHands, MP Hands|15|0.748
RealisticHands, PoseNet|0|0.722
RealisticHands, PoseNet|3|0.758
RealisticHands, PoseNet|10|0.793
RealisticHands, PoseNet|15|0.806
I2L [27], PoseNet||0.737
""",
    "yu1": """
Zhang et al. [38]|||||13.48|13.95|0.31|0.15||||
Hasson et al. [14]|13.3|13.3|0.68|0.17|14.21|||||||
Moon et al. [26]|||||14.21|||||||
Rong et al. [31]|||||17.12|||||||
Li et al. [21]|||||8.79|9.03|0.51|0.12||||
Li et al. [21] Baseline|||||9.97|10.63|0.51|0.12||||
Boukhayma et al. [2]|13.08|13.40|0.64|0.17|16.93|17.98|0.31|0.15|12.88|12.98|0.48|0.15
MANO CNN [42]|8.69|8.83|0.54|0.16|13.87|14.27|0.32|0.16|10.68|11.61|0.30|0.14
GCN-Vert [17]|7.77|7.43|0.94|0.20|9.95|10.23|0.56|0.13|8.93|9.39|0.51|0.15
Transformer [22]|7.57|8.05|0.81|0.16|10.89|10.83|0.68|0.15|9.51|10.48|0.65|0.15
MANO-Joint [42]|8.84|9.10|0.55|0.17|13.98|14.35|0.32|0.17|15.44|16.15|0.42|0.22
GCN-Joint [17]|14.87|18.43|3.81|0.34|11.49|19.20|5.10|0.43|10.07|15.12|3.49|0.31
Yu et al. (GCN)|7.42|7.43|0.51|0.15|9.68|9.89|0.27|0.12|8.92|9.12|0.25|0.12
Yu et al. (Trans)|7.28|7.33|0.49|0.15|10.08|10.06|0.29|0.13|9.13|9.67|0.28|0.14
""",
    "yu2": """
Li et al. [21]|9.03|1.04|17.61|||
MANO-CNN [42]|14.27|1.03|17.81|11.61|1.01|16.78
GCN-Vert [17]|10.23|1.03|17.95|9.39|0.98|16.95
Transformer [22]|10.83|1.04|18.37|10.48|1.05|17.54
GT|0|0.17|4.89|0|0.15|3.21
Yu et al. (before)|9.89|1.00|17.51|9.12|0.94|16.51
Yu et al. (after)|9.92|0.51|7.62|9.33|0.45|6.73
""",
    "zhao2": """
OpenPose 2D|S2HAND|EfficientNet|0.77|1.18|0.77|1.19|0.48|0.92
OpenPose 2D|Zhao|EfficientNet|0.74|1.29|0.74|1.30|0.43|0.90
""",
    "zhao3": """
WSL w/o confidence|0.74|1.33|0.74|1.33|0.43|0.89
WSL w confidence|0.73|1.38|0.72|1.40|0.41|0.88
SSL w/o confidence|0.74|1.33|0.74|1.33|0.42|0.90
SSL w confidence|0.74|1.29|0.74|1.30|0.43|0.90
""",
    "zhao4": """
2D|Zhao|0.74|1.33|0.74|1.33|0.42|0.89
+ 3D|Zhao|0.73|1.39|0.73|1.38|0.41|0.89
+ norm 3D|Zhao|0.76|1.24|0.76|1.22|0.46|0.91
""",
    "zhao5": """
2D|Zhao|0.11|11.42|0.11|11.45|0.06|0.22
+ 3D|Zhao|0.13|8.31|0.13|8.40|0.08|0.27
+ norm 3D|Zhao|0.15|7.70|0.15|7.73|0.08|0.29
""",
    "zhao6": """
MANO|Zhao|0.76|1.24
NIMBLE|Zhao|0.68|1.60
""",
}

PUBLISHED: dict[str, tuple[tuple[str, ...], ...]] = {
    name: tuple(tuple(line.split("|")) for line in text.strip().splitlines())
    for name, text in _TEXT.items()
}
"""Table -> its rows -> their cells."""
