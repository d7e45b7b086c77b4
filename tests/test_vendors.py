"""Diffusion, kinds of images and ASL labels: synthetic headers of every vendor, and dcm2niix."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from corpus_oracle import CORPUS, converted, dcm2niix
from memory_headers import frames_in, header_of, image

from imagedata_xr.formats.dicom import vendors
from imagedata_xr.formats.dicom.headers import WANTED_PRIVATE

DIRECTION = np.array([2.0, -3.0, 6.0]) / 7
# Row and column cosines of planes near the transverse, sagittal and coronal one.
PLANES = {
    "transverse": ([0.98, 0.15, 0.13], [-0.16, 0.98, 0.08]),
    "sagittal": ([0.1, 0.98, 0.17], [0.12, 0.15, -0.98]),
    "coronal": ([0.97, 0.15, 0.19], [0.18, 0.11, -0.98]),
}


def oriented(plane, **attributes):
    """Return an image in a plane, and its axes: across, down, normal."""
    across, down = (np.asarray(v) for v in PLANES[plane])
    across = across / np.linalg.norm(across)
    down = down - across * (across @ down)
    down = down / np.linalg.norm(down)
    cosines = [f"{number:.12f}" for number in (*across, *down)]
    dataset = image(ImageOrientationPatient=cosines, **attributes)
    return dataset, np.array([across, down, np.cross(across, down)])


def with_private(dataset, *elements):
    for group, creator, low, vr, value in elements:
        dataset.private_block(group, creator, create=True).add_new(low, vr, value)
    return dataset


def siemens(b, kind, vector=None):
    found = image(Manufacturer="SIEMENS")
    name = "SIEMENS MR HEADER"
    with_private(found, (0x19, name, 0x0C, "IS", str(b)), (0x19, name, 0x0D, "CS", kind))
    return found if vector is None else with_private(found, (0x19, name, 0x0E, "FD", list(vector)))


def ge(dataset, b, along, *, flag=None):
    dataset.Manufacturer = "GE MEDICAL SYSTEMS"
    with_private(dataset, (0x43, "GEMS_PARM_01", 0x39, "IS", [str(b), "8", "0", "0"]))
    if flag is not None:
        with_private(dataset, (0x43, "GEMS_PARM_01", 0x30, "SS", flag))
    for low, number in zip((0xBB, 0xBC, 0xBD), along, strict=True):
        with_private(dataset, (0x19, "GEMS_ACQU_01", low, "DS", f"{number:.9f}"))
    return dataset


def philips(b, kind, vector=(0.0, 0.0, 0.0)):
    found = image(Manufacturer="Philips Medical Systems")
    first, second = "Philips Imaging DD 001", "Philips MR Imaging DD 001"
    with_private(found, (0x2001, first, 3, "FL", float(b)), (0x2001, first, 4, "CS", kind))
    for low, number in zip((0xB0, 0xB1, 0xB2), vector, strict=True):
        with_private(found, (0x2005, second, low, "FL", float(number)))
    return found


def test_standard_attributes_go_first():
    """DiffusionBValue and DiffusionGradientOrientation win over a vendor's private elements."""
    dataset = siemens(500, "DIRECTIONAL", [1, 0, 0])
    dataset.DiffusionBValue, dataset.DiffusionGradientOrientation = 1000.0, (2 * DIRECTION).tolist()
    b, vector = vendors.diffusion(header_of(dataset))
    assert b == 1000
    np.testing.assert_allclose(vector, DIRECTION)


def test_standard_direction_of_trace_images_is_none():
    """An isotropic image has its b value, and no direction even if the header holds one."""
    dataset = image(DiffusionBValue=800.0, DiffusionDirectionality="ISOTROPIC")
    dataset.DiffusionGradientOrientation = DIRECTION.tolist()
    assert vendors.diffusion(header_of(dataset)) == (800.0, None)


def test_standard_direction_in_its_sequence():
    """The direction is found in DiffusionGradientDirectionSequence of a single-frame image."""
    dataset, item = image(DiffusionBValue=700.0), image()
    item.clear()
    item.DiffusionGradientOrientation = DIRECTION.tolist()
    dataset.DiffusionGradientDirectionSequence = [item]
    b, vector = vendors.diffusion(header_of(dataset))
    assert b == 700
    np.testing.assert_allclose(vector, DIRECTION)


@pytest.mark.parametrize(
    ("b", "kind", "vector", "expected"),
    [
        (1000, "DIRECTIONAL", DIRECTION, (1000, DIRECTION)),
        (0, "NONE", None, (0, None)),
        (1000, "ISOTROPIC", DIRECTION, (1000, None)),
        (-1, "NONE", None, (None, None)),
    ],
)
def test_siemens(b, kind, vector, expected):
    """Group 0019 gives b value and direction; trace and unweighted images have no direction."""
    check(vendors.diffusion(header_of(siemens(b, kind, vector))), expected)


def check(found, expected):
    assert found[0] == pytest.approx(expected[0]) if expected[0] is not None else found[0] is None
    if expected[1] is None:
        assert found[1] is None
    else:
        np.testing.assert_allclose(found[1], expected[1], atol=1e-6)


@pytest.mark.parametrize(
    ("plane", "phase", "expected"),
    [
        ("transverse", "COL", lambda x, y, z: (-x, -y, z)),
        ("transverse", "ROW", lambda x, y, z: (-y, x, z)),
        ("sagittal", "COL", lambda x, y, z: (x, y, -z)),
        ("sagittal", "ROW", lambda x, y, z: (y, -x, -z)),
        ("coronal", "COL", lambda x, y, z: (-x, y, z)),
        ("coronal", "ROW", lambda x, y, z: (y, x, z)),
    ],
)
def test_ge_directions(plane, phase, expected):
    """GE's frequency, phase and slice axes turn into LPS as stated, in every plane."""
    dataset, axes = oriented(plane, InPlanePhaseEncodingDirection=phase)
    found = vendors.diffusion(header_of(ge(dataset, 1000001000, DIRECTION)))
    check(found, (1000, np.array(expected(*DIRECTION)) @ axes))


def test_ge_scales_b_by_short_directions():
    """A direction of length 0.5 quarters the nominal b value, as multi-shell tables of GE mean."""
    dataset, axes = oriented("transverse", InPlanePhaseEncodingDirection="COL")
    found = vendors.diffusion(header_of(ge(dataset, 2000, 0.5 * DIRECTION)))
    check(found, (500, (np.array([-1, -1, 1]) * DIRECTION) @ axes))


@pytest.mark.parametrize(("flag", "b"), [(14, 0.0), (16, 1000.0)])
def test_ge_unweighted_images_of_a_tensor_series(flag, b):
    """Vas Collapse Flag 14 says b = 0, whatever b value stands beside it."""
    dataset = ge(image(InPlanePhaseEncodingDirection="COL"), 1000, (0, 0, 0), flag=flag)
    assert vendors.diffusion(header_of(dataset)) == (b, None)


@pytest.mark.parametrize(
    ("b", "kind", "vector", "expected"),
    [
        (1000, "O", DIRECTION, (1000, DIRECTION)),
        (0, "N", DIRECTION, (0, None)),
        (1000, "I", DIRECTION, (1000, None)),
        (800, "", (0, 0, 0), (800, None)),
    ],
)
def test_philips(b, kind, vector, expected):
    """Groups 2001 and 2005 give b value and direction; I is an isotropic image."""
    check(vendors.diffusion(header_of(philips(b, kind, vector))), expected)


def test_uih_counts_along_the_image():
    """United Imaging's direction is turned from the axes of the image into the patient."""
    dataset, axes = oriented("coronal", Manufacturer="UIH")
    name = "Image Private Header"
    with_private(
        dataset, (0x65, name, 9, "FD", 929.75), (0x65, name, 0x37, "FD", DIRECTION.tolist())
    )
    check(vendors.diffusion(header_of(dataset)), (929.75, DIRECTION @ axes))


def test_canon_comment():
    """Image Comments hold b value, then phase, frequency and slice parts of the direction."""
    comment = "b=1500({:.6f},{:.6f},{:.6f})".format(*DIRECTION)
    dataset, axes = oriented(
        "transverse",
        Manufacturer="CANON_MEC",
        ImageComments=comment,
        InPlanePhaseEncodingDirection="COL",
    )
    y, x, z = DIRECTION
    check(vendors.diffusion(header_of(dataset)), (1500, np.array([-x, -y, z]) @ axes))


def test_toshiba_omits_b_of_unweighted_images():
    """An echo-planar Toshiba image without a b value is unweighted; another sequence is none."""
    dataset = image(Manufacturer="TOSHIBA", ScanningSequence=["SE", "EP"])
    assert vendors.diffusion(header_of(dataset)) == (0.0, None)
    dataset.ScanningSequence = "SE"
    assert vendors.diffusion(header_of(dataset)) == (None, None)


def test_anonymous_manufacturer():
    """Where the manufacturer is missing, private creators still lead to the vendor."""
    dataset = siemens(1000, "DIRECTIONAL", DIRECTION)
    del dataset.Manufacturer
    check(vendors.diffusion(header_of(dataset)), (1000, DIRECTION))


@pytest.mark.parametrize(
    "elements",
    [
        [(0x19, "SIEMENS MR HEADER", 0x0C, "UN", b"\xff\xfe")],
        [(0x29, "SIEMENS CSA HEADER", 0x10, "OB", b"SV10 and then nothing of use")],
        [(0x2001, "Philips Imaging DD 001", 3, "UN", b"\x00\x00\xc0\x7f")],
        [(0x2001, "Philips Imaging DD 001", 3, "UN", b"abcdef")],
        [(0x65, "Image Private Header", 9, "UN", b"123456")],
        [(0x43, "GEMS_PARM_01", 0x39, "UN", b"NaN\\8 ")],
        [(0x43, "GEMS_PARM_01", 0x2F, "UN", b"")],
    ],
)
def test_damaged_private_elements_mean_nothing(elements):
    """A private element that is not what its vendor writes neither raises nor gives a value."""
    header = header_of(with_private(image(), *elements))
    assert vendors.diffusion(header) == (None, None)
    assert vendors.component(header) is None


@pytest.mark.parametrize(
    ("maker", "kinds", "expected"),
    [
        ("SIEMENS", ["ORIGINAL", "PRIMARY", "M", "ND"], "magnitude"),
        ("SIEMENS", ["ORIGINAL", "PRIMARY", "P", "ND"], "phase"),
        ("SIEMENS", ["ORIGINAL", "PRIMARY", "R", "ND"], "real"),
        ("SIEMENS", ["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE", "ND"], None),
        ("SIEMENS", ["DERIVED", "PRIMARY", "DIFFUSION", "ADC", "ND"], "adc"),
        ("SIEMENS", ["DERIVED", "PRIMARY", "DIFFUSION", "TRACEW", "ND"], "trace"),
        ("SIEMENS", ["DERIVED", "PRIMARY", "M", "T2_STAR MAP", "ND"], "t2star"),
        ("Philips", ["ORIGINAL", "PRIMARY", "M_FFE", "M", "FFE"], "magnitude"),
        ("Philips", ["ORIGINAL", "PRIMARY", "PHASE MAP", "P", "FFE"], "phase"),
        ("Philips", ["ORIGINAL", "PRIMARY", "B0 MAP", "B0", "UNSPECIFIED"], "fieldmap"),
        ("Philips", ["ORIGINAL", "PRIMARY", "VELOCITY MAP", "P", "PCA"], "velocity"),
        ("Philips", ["ORIGINAL", "PRIMARY", "T1", "NONE"], None),
        ("GE MEDICAL SYSTEMS", ["ORIGINAL", "PRIMARY", "OTHER"], None),
        ("", ["ORIGINAL", "PRIMARY"], None),
    ],
)
def test_component_from_image_type(maker, kinds, expected):
    """Image Type names components and maps; contrasts such as DIFFUSION or T1 are no component."""
    assert vendors.component(header_of(image(Manufacturer=maker, ImageType=kinds))) == expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [(0, "magnitude"), (1, "phase"), (2, "real"), (3, "imaginary"), (7, None)],
)
def test_component_of_ge(number, expected):
    """GE counts the components in (0043,102F)."""
    dataset = image(Manufacturer="GE MEDICAL SYSTEMS", ImageType=["ORIGINAL", "PRIMARY", "OTHER"])
    with_private(dataset, (0x43, "GEMS_PARM_01", 0x2F, "SS", number))
    assert vendors.component(header_of(dataset)) == expected


def test_component_of_the_standard():
    """Complex Image Component counts where Image Type names no map; MIXED is no component."""
    phase = image(ComplexImageComponent="PHASE", ImageType=["ORIGINAL", "PRIMARY", "OTHER"])
    assert vendors.component(header_of(phase)) == "phase"
    mixed = image(ComplexImageComponent="MIXED")
    assert vendors.component(header_of(mixed)) is None
    derived = image(ComplexImageComponent="MAGNITUDE", ImageType=["DERIVED", "PRIMARY", "X", "ADC"])
    assert vendors.component(header_of(derived)) == "adc"


@pytest.mark.parametrize("modality", ["CT", "PT", "US", "NM"])
def test_other_modalities_have_no_component(modality):
    """The letters of Image Type mean nothing outside MR."""
    dataset = image(Modality=modality, ImageType=["ORIGINAL", "PRIMARY", "M", "P"])
    assert vendors.component(header_of(dataset)) is None


def test_label():
    """Philips says LABEL or CONTROL in (2005,1429); others say nothing."""
    element = (0x2005, "Philips MR Imaging DD 005", 0x29, "CS", "CONTROL")
    assert vendors.label(header_of(with_private(image(), element))) == "control"
    assert vendors.label(header_of(image())) is None


def test_every_private_element_is_kept_by_the_header_reader():
    """The reader keeps what the vendor modules ask for, or they would never see it."""
    asked = {
        *((0x19, "SIEMENS MR HEADER", low) for low in (0x0A, 0x0C, 0x0D, 0x0E, 0x29)),
        (0x29, "SIEMENS CSA HEADER", 0x10),
        *((0x43, "GEMS_PARM_01", low) for low in (0x2F, 0x30, 0x39)),
        *((0x19, "GEMS_ACQU_01", low) for low in (0x9E, 0xBB, 0xBC, 0xBD)),
        *((0x2001, "Philips Imaging DD 001", low) for low in (3, 4)),
        *((0x2005, "Philips MR Imaging DD 001", low) for low in (0x11, 0xB0, 0xB1, 0xB2)),
        (0x2005, "Philips MR Imaging DD 005", 0x29),
        *((0x65, "Image Private Header", low) for low in (0x09, 0x37, 0x50)),
    }
    assert asked <= WANTED_PRIVATE


def of_dcm2niix(folder, out):
    """Return b values and directions in patient LPS out of dcm2niix's files."""
    ((_, matrix, path),) = converted(folder, out)
    b = np.loadtxt(path.with_suffix(".bval"), ndmin=1)
    along = np.loadtxt(path.with_suffix(".bvec"), ndmin=2).T
    if np.linalg.det(matrix[:3, :3]) > 0:
        along[:, 0] *= -1  # the convention of FSL
    turn = matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0)
    return b, (along @ turn.T) * [-1, -1, 1]


@pytest.mark.skipif(not CORPUS.is_dir(), reason=f"no corpus at {CORPUS}")
@pytest.mark.skipif(dcm2niix() is None, reason="dcm2niix is not installed")
@pytest.mark.parametrize(
    "name",
    [
        "mr_canon_dti_ortho",
        "mr_canon_enh_dti",
        "mr_ge_dwi_r3",
        "mr_philips_dwi_b4",
        "mr_philips_enh_dti_small",
        "mr_siemens_dwi_rsi",
        "mr_siemens_mosaic_dwi_2axis",
        "mr_siemens_xa60_enh_dwi",
        "mr_toshiba_dti_ortho",
        "mr_uih_dti_pa",
    ],
)
def test_gradients_of_real_series_are_those_of_dcm2niix(name, tmp_path):
    """b values and directions (sign included) of every volume are those in .bval and .bvec."""
    b, directions = of_dcm2niix(CORPUS / name / "dicom", tmp_path)
    frames = frames_in(CORPUS / name / "dicom")
    first = frames[0].position
    ours = [frame.values for frame in frames if np.allclose(frame.position, first, atol=0.01)]
    assert len(ours) == len(b)
    found = np.array([values.get("DiffusionBValue") for values in ours])
    vectors = np.array(
        [values.get("DiffusionGradientOrientation", (0.0, 0.0, 0.0)) for values in ours]
    )
    # Volumes stand in different orders: each of ours is exactly one of dcm2niix's.
    cost = np.abs(found[:, None] - b).clip(0, 1e3) + np.abs(vectors[:, None] - directions).sum(-1)
    nearest = cost.argmin(axis=1)
    assert len(set(nearest[found > 5])) == (found > 5).sum()
    np.testing.assert_allclose(found, b[nearest], rtol=1e-5)
    np.testing.assert_allclose(vectors, directions[nearest], atol=2e-3)


@pytest.mark.skipif(not CORPUS.is_dir(), reason=f"no corpus at {CORPUS}")
@pytest.mark.skipif(dcm2niix() is None, reason="dcm2niix is not installed")
@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("phase", ["COL", "ROW"])
def test_ge_directions_in_every_plane_are_those_of_dcm2niix(plane, phase, tmp_path):
    """A real GE series put into other planes has the directions that dcm2niix gives it there."""
    axes = oriented(plane)[1]
    (tmp_path / "in").mkdir()
    for path in sorted((CORPUS / "mr_ge_dwi_r3" / "dicom").iterdir()):
        dataset = pydicom.dcmread(path)
        place = 3.0 * ((int(dataset.InstanceNumber) - 1) % 2) * axes[2]
        dataset.ImageOrientationPatient = [f"{n:.10f}" for n in axes[:2].ravel()]
        dataset.ImagePositionPatient = [f"{n:.6f}" for n in place]
        dataset.InPlanePhaseEncodingDirection = phase
        dataset.save_as(tmp_path / "in" / f"{int(dataset.InstanceNumber):03d}.dcm")
    b, directions = of_dcm2niix(tmp_path / "in", tmp_path)
    ours = [frame.values for frame in frames_in(tmp_path / "in")][::2]
    assert [values.get("DiffusionBValue") for values in ours] == b.tolist()
    none = (0.0, 0.0, 0.0)
    vectors = [values.get("DiffusionGradientOrientation", none) for values in ours]
    # dcm2niix keeps the length of the stored vectors, 0.9995 to 1.
    np.testing.assert_allclose(vectors, directions, atol=1e-3)


@pytest.mark.skipif(not CORPUS.is_dir(), reason=f"no corpus at {CORPUS}")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mr_ge_b0map", {"magnitude": 16, "fieldmap": 16}),
        ("mr_philips_dualecho_magphase", {"magnitude": 30, "phase": 30}),
        ("mr_philips_enh_b0map64", {"magnitude": 32, "fieldmap": 32}),
        ("mr_siemens_fmap_magphase", {"magnitude": 12, "phase": 6}),
        ("mr_siemens_xa30_enh_adc", {"adc": 39}),
        ("mr_siemens_dwi_rsi", {None: 39}),
        ("ct_philips_tilt_p165", {None: 5}),
        ("pet_single_slices", {None: 2}),
    ],
)
def test_components_of_real_series(name, expected):
    """Real series have their components, and the same kind of answer for each of their images."""
    words = [frame.values.get("ComplexImageComponent") for frame in frames_in(CORPUS / name)]
    assert {word: words.count(word) for word in set(words)} == expected


@pytest.mark.skipif(not CORPUS.is_dir(), reason=f"no corpus at {CORPUS}")
def test_labels_of_a_real_series():
    """A real ASL series has as many label as control images."""
    frames = frames_in(CORPUS / "mr_philips_asl_source_5d" / "dicom")
    labels = [vendors.label(frame.values.header) for frame in frames]
    assert labels.count("label") == labels.count("control") == len(frames) // 2
