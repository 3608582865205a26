#!/usr/bin/env bash
# Puts the city data (ip2region.xdb, 11 MB) into data/, where the tests and the image look for it, and checks its sum.
# Does nothing when the right file is there. Needs: Maven (mvn; installed when root on Debian), unzip or python3.
. "$(dirname "$0")/lib.sh"

ARTIFACT=net.dreamlu:mica-ip2region:2.7.18.9
SHA256=867b619b567f51bb9dd3c384a4cbf7c33e71a178aa58f13201499aadaf2cf78e
file=data/ip2region.xdb

right() { [ -f "$1" ] && printf '%s  %s\n' "$SHA256" "$1" | sha256sum --check --status; }

right "$file" && { say "city data: $file"; exit 0; }

has mvn || apt_install maven >/dev/null || die "the city data comes by Maven: install mvn and run this again,
       or put ip2region.xdb (sha256 $SHA256) at $file yourself.
       Without it everything works except rules on cities, which are reported as unusable."
has unzip || has python3 || apt_install unzip >/dev/null || die "unpacking the city data takes unzip or python3"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
say "fetching the city data ($ARTIFACT)"
# In the empty folder, so that no pom.xml above it is read.
(cd "$work" && mvn -B -q dependency:copy -Dartifact="$ARTIFACT" -DoutputDirectory="$work" -Dmdep.stripVersion=true) >"$work/log" 2>&1 </dev/null || {
  tail -n 20 "$work/log" >&2
  die "Maven could not get $ARTIFACT"
}
jar=$work/mica-ip2region.jar
if has unzip; then unzip -q -p "$jar" ip2region/ip2region.xdb >"$work/xdb"
else python3 -c 'import sys, zipfile; sys.stdout.buffer.write(zipfile.ZipFile(sys.argv[1]).read("ip2region/ip2region.xdb"))' "$jar" >"$work/xdb"; fi
right "$work/xdb" || die "the city data in $ARTIFACT is not the one expected: sha256 $(sha256sum <"$work/xdb" | cut -d' ' -f1)"
mkdir -p data
# Into place in one step: a reader sees the whole file or none.
cp "$work/xdb" "$file.new" && chmod 644 "$file.new" && mv "$file.new" "$file"
say "city data: $file"
