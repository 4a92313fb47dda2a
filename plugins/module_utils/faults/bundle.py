# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Faults of bundles: of one that is used (phase preflight) and of one that is built (phase build)."""

from __future__ import annotations

from .fault import FaultKind

UNREACHABLE = FaultKind(
    id="bundle.unreachable",
    phase="preflight",
    what="The file {file} of the bundle {bundle} can't be read",
    why="{reason}. Nothing was changed on any host.",
    how=(
        "Check dualroot_bundle: a folder on the controller, or an http(s) URL that the controller and the hosts reach."
    ),
)

FILE_MISSING = FaultKind(
    id="bundle.file_missing",
    phase="preflight",
    what="The bundle {bundle} has no file {file}",
    why="Its manifest names the file, and a host could not be converted without it.",
    how="Copy the bundle again, as a whole, or build it again with the playbook build.",
)

TRUNCATED = FaultKind(
    id="bundle.truncated",
    phase="preflight",
    what="The file {file} of the bundle has {found} bytes and not {wanted}",
    why="The copy of the bundle is cut off or is mixed with another build.",
    how="Copy the bundle again, as a whole, and check the space of the disk that holds it.",
)

ALTERED = FaultKind(
    id="bundle.altered",
    phase="preflight",
    what=("The file {file} of the bundle is not the one that its manifest names: SHA-256 {found}, not {wanted}"),
    why="At least one bit was changed after the build, by a fault of a disk or network or by somebody.",
    how=("Do not use this copy. Copy the bundle again from where it was built; if that differs too, build it again."),
)

MANIFEST_INVALID = FaultKind(
    id="bundle.manifest_invalid",
    phase="preflight",
    what="The manifest of the bundle is not usable: {problems}",
    why="Every size and digest of a migration comes from the manifest, so that nothing of it may be guessed.",
    how="Build the bundle with the playbook build of this release, and never edit manifest.json.",
)

ARCHITECTURE = FaultKind(
    id="bundle.architecture",
    phase="preflight",
    what="The bundle is for the architecture {found}; this release knows {known}",
    why="The convert kernel and the new system would not run.",
    how="Use a bundle that was built for the machine type of the hosts.",
)

UNSIGNED = FaultKind(
    id="bundle.unsigned",
    phase="preflight",
    what="The bundle {bundle} carries no signature (manifest.json.cms)",
    why="Without one nobody can tell who built what would replace the systems of the hosts.",
    how=(
        "Sign it with the playbook build (dualroot_build_key), or set dualroot_allow_unsigned: true "
        "for a test"
        " on hosts that may be lost."
    ),
)

TRUST_MISSING = FaultKind(
    id="bundle.trust_missing",
    phase="preflight",
    what="No key is given that may sign bundles",
    why="A signature says something only about a key that was trusted before.",
    how=(
        "Set dualroot_trusted_keys to the certificates (PEM files on the controller) of those who build your"
        " bundles; the playbook build prints the path of its own."
    ),
)

TRUST_UNUSABLE = FaultKind(
    id="bundle.trust_unusable",
    phase="preflight",
    what="The trusted key {file} can't be used: {reason}",
    why="A file of dualroot_trusted_keys must be a certificate in PEM format that has not expired.",
    how=("Correct dualroot_trusted_keys; `openssl x509 -noout -dates -subject -in FILE` shows what a file holds."),
)

SIGNATURE_WRONG = FaultKind(
    id="bundle.signature_wrong",
    phase="preflight",
    what="The signature of the bundle {bundle} was made by none of the trusted keys, or for another manifest",
    why=("openssl says: {reason}. Either the manifest was changed after it was signed, or somebody else signed it."),
    how=(
        "Do not use this copy. Get the bundle from its builder again, or add the builder's certificate to"
        " dualroot_trusted_keys if you know it is theirs."
    ),
)

LAYOUT_UNKNOWN = FaultKind(
    id="bundle.layout_unknown",
    phase="preflight",
    what="The bundle holds no layout named {name}; it has {known}",
    why="dualroot_layout is neither a name in the bundle nor the path of a file on the controller.",
    how="Set dualroot_layout to one of these names, or to the path of your own layout (a YAML or JSON file).",
)

LAYOUT_UNREADABLE = FaultKind(
    id="bundle.layout_unreadable",
    phase="preflight",
    what="The layout {file} can't be read: {reason}",
    why="A layout is one YAML or JSON document that holds a mapping.",
    how="Correct the file; docs/layouts.md shows the form.",
)

LIBRARY_MISSING = FaultKind(
    id="bundle.library_missing",
    phase="build",
    what="The library {library}, which {program} needs, is in none of the packages of the environment",
    why="The program would not start in the convert initrd.",
    how="Add the package that holds the library to dualroot_build_packages.",
)

PROGRAM_MISSING = FaultKind(
    id="bundle.program_missing",
    phase="build",
    what="The packages of the environment do not hold: {paths}",
    why="Stage two relies on each of them.",
    how="Add the package that holds it to dualroot_build_packages, or take the name out of the recipe.",
)

RELEASES_MANY = FaultKind(
    id="bundle.kernel_unclear",
    phase="build",
    what="The tree {tree} holds {count} kernels where one is wanted: {found}",
    why="The bundle boots exactly one kernel, with the modules of exactly that kernel.",
    how="Name one kernel package in dualroot_build_kernel_package.",
)

INITRD_TOO_LARGE = FaultKind(
    id="bundle.initrd_too_large",
    phase="build",
    what="The convert initrd has {found}, more than the {limit} allowed",
    why="Kernel and initrd are staged on the host's /boot, and stage two stays in RAM as a whole.",
    how="Take firmware, packages or drivers out of the recipe, or raise dualroot_build_initrd_limit.",
)

PAYLOAD_INCOMPLETE = FaultKind(
    id="bundle.payload_incomplete",
    phase="build",
    what="The payload lacks {missing}",
    why="A host converted to it could not boot, or could not be reached by SSH afterwards.",
    how="Add the packages to the new system (kernel, initramfs, openssh-server) and build the bundle again.",
)

PAYLOAD_UNREADABLE = FaultKind(
    id="bundle.payload_unreadable",
    phase="build",
    what="The payload source {source} can't be used: {reason}",
    why=(
        "A payload is a root archive (tar, plain or compressed), a disk image (raw, qcow2, vmdk, "
        "ova), or a Debian suite."
    ),
    how="Check dualroot_build_payload_source and that the file is whole.",
)

IMAGE_LVM = FaultKind(
    id="bundle.image_lvm",
    phase="build",
    what="The image {image} keeps its root file system in {kind} (partition {number})",
    why=("The building machine would have to activate it through device-mapper, which this release does not do."),
    how=(
        "Start the image, pack its root there with `tar --one-file-system --xattrs --acls --numeric-owner`,"
        " and build from that archive (dualroot_build_payload_source)."
    ),
)

IMAGE_ROOT = FaultKind(
    id="bundle.image_root",
    phase="build",
    what="No root file system was found in the image {image}: {found}",
    why="The root is the one partition with ext2-4, xfs or btrfs that holds etc/os-release and an init.",
    how="Name the partition's number in dualroot_build_image_partition, or build from a root archive.",
)

KEY_EXPOSED = FaultKind(
    id="bundle.key_exposed",
    phase="build",
    what="The signing key {key} {problem}",
    why="Who can read the key can sign what replaces the systems of your hosts.",
    how=(
        "Keep the key outside of the bundle folder, with mode 0600, and make a new one if it was readable for others."
    ),
)

KINDS = (
    UNREACHABLE,
    FILE_MISSING,
    TRUNCATED,
    ALTERED,
    MANIFEST_INVALID,
    ARCHITECTURE,
    UNSIGNED,
    TRUST_MISSING,
    TRUST_UNUSABLE,
    SIGNATURE_WRONG,
    LAYOUT_UNKNOWN,
    LAYOUT_UNREADABLE,
    LIBRARY_MISSING,
    PROGRAM_MISSING,
    RELEASES_MANY,
    INITRD_TOO_LARGE,
    PAYLOAD_INCOMPLETE,
    PAYLOAD_UNREADABLE,
    IMAGE_LVM,
    IMAGE_ROOT,
    KEY_EXPOSED,
)
