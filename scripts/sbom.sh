#!/usr/bin/env bash
# sbom.sh FILE: what the gateway's program is built of, as a CycloneDX 1.5 document (JSON): every crate that is compiled
# into it on this kind of machine (and some that only features which are off would bring), with version, licence and
# checksum. Tells of Cargo.lock; nothing is built for it.
# Needs: Rust, git, Python. Installs cargo-cyclonedx when it is missing (about 2 minutes).
. "$(dirname "$0")/lib.sh"

CYCLONEDX=0.5.9
out=${1?usage: sbom.sh FILE}
mkdir -p "$(dirname "$out")"
out=$(realpath "$out")

has cargo-cyclonedx || {
  say "installing cargo-cyclonedx $CYCLONEDX"
  CARGO_TARGET_DIR=$TARGET/cargo-cyclonedx cargo install -q cargo-cyclonedx --version "$CYCLONEDX" --locked
  rm -rf "$TARGET/cargo-cyclonedx"
}
# It writes a file beside every manifest, so it works on a copy.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git ls-files -z --cached --others --exclude-standard | grep -zE '\.(rs|toml|lock)$' | xargs -0 cp --parents -t "$work"
(cd "$work" && SOURCE_DATE_EPOCH=$(git -C "$OLDPWD" log -1 --format=%ct) cargo cyclonedx -q --format json --spec-version 1.5 --override-filename sbom \
  --manifest-path gray-gateway/Cargo.toml)
# References of the workspace's own crates are paths: below its root, wherever that is.
sed "s|$work||g" "$work/gray-gateway/sbom.json" >"$out"
python3 - "$out" Cargo.lock <<'CHECK'
import json, re, sys
document = json.load(open(sys.argv[1]))
locked = set(re.findall(r'^name = "(.*)"\nversion = "(.*)"$', open(sys.argv[2]).read(), re.M))
parts = {(part["name"], part["version"]) for part in document["components"]}
unlicensed = [part["name"] for part in document["components"] if not part.get("licenses")]
unsummed = [part["name"] for part in document["components"] if part.get("purl", "").startswith("pkg:cargo/") and "?" not in part["purl"] and not part.get("hashes")]
for needed in ("hyper", "rustls", "nacos-sdk", "gray-rules"):
    assert needed in {name for name, _ in parts}, f"{needed} is missing"
assert parts <= locked, f"not in Cargo.lock: {parts - locked}"
assert document["specVersion"] == "1.5" and document["metadata"]["component"]["name"] == "gray-gateway"
assert not unlicensed, f"without a licence: {unlicensed}"
assert not unsummed, f"without a checksum: {unsummed}"
assert "/tmp/" not in json.dumps(document), "names paths of this machine"
print(f"{sys.argv[1]}: {len(parts)} components")
CHECK
