# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Faults of the proof that travels with a run; stage two says them with its own phase."""

from __future__ import annotations

from .fault import FaultKind

INCOMPLETE = FaultKind(
    id="proof.incomplete",
    phase="stage",
    what="The file {file} of the run's proof is missing or damaged: {problem}",
    why="Manifest, signature and certificate travel with the plan, so that the host and stage two can check "
    "the bundle themselves.",
    how="Nothing was written to the disk. Run disarm, then run the playbook again, which stages the proof anew.",
)
NO_OPENSSL = FaultKind(
    id="proof.no_openssl",
    phase="stage",
    what="No openssl that knows CMS signatures runs on the host: {problem}",
    why="The signature is checked on the host before it reboots; neither its own openssl nor the bundled one could.",
    how="Build the bundle again with this release, whose interpreter carries openssl, give the host some 100 MiB "
    "of room in /var/lib, or install openssl 1.0.0 or newer there.",
)
SIGNER_OTHER = FaultKind(
    id="proof.signer_other",
    phase="stage",
    what="The certificate that came with the run has the fingerprint {found}, and the plan names {wanted}",
    why="The plan says who is trusted to have signed the bundle; a certificate that came along says nothing by itself.",
    how="Nothing was written to the disk. Run disarm and run the playbook again; if it happens twice, find out who "
    "changes files under /boot/dualroot or /var/lib/dualroot of the host.",
)
SIGNATURE_WRONG = FaultKind(
    id="proof.signature_wrong",
    phase="stage",
    what="The signature that came with the run is not one of the trusted certificate over this manifest: {reason}",
    why="The manifest, its signature or the certificate was changed after the controller had checked them, or the "
    "certificate has expired by the host's clock.",
    how="Nothing was written to the disk. Check the clock of the host, then run disarm and the playbook again; if it "
    "happens twice, find out who changes the staged files.",
)
MANIFEST_OTHER = FaultKind(
    id="proof.manifest_other",
    phase="stage",
    what="The manifest that came with the run has the digest {found}, and the plan was made from {wanted}",
    why="It belongs to another bundle or another build. A valid signature of another bundle does not count.",
    how="Nothing was written to the disk. Run disarm and run the playbook again with the bundle that is wanted.",
)
FILES_OTHER = FaultKind(
    id="proof.files_other",
    phase="stage",
    what="The plan names other files than the signed manifest: {problems}",
    why="The digests by which everything is checked come from the plan; they must be those that were signed.",
    how="Nothing was written to the disk. Run the playbook again for a plan from this bundle, and never edit a plan.",
)
HOST_OTHER = FaultKind(
    id="proof.host_other",
    phase="stage",
    what="The plan was made for {wanted}, and this is {found}",
    why="A plan is bound to one machine by its host name and machine id; it would bring another machine's disk and "
    "network layout here.",
    how="Nothing was written to the disk. Check the inventory (two names for one address?) and run the playbook again. "
    "If the host was renamed since its preflight, a new run makes a new plan.",
)
KINDS = (INCOMPLETE, NO_OPENSSL, SIGNER_OTHER, SIGNATURE_WRONG, MANIFEST_OTHER, FILES_OTHER, HOST_OTHER)
