#!/usr/bin/env bash
# Spring Cloud Gateway beside ours, release by release: compat.sh [--release 4.3]... [--document NAME] [--record], or --replay with
# what is recorded. `--help` names the options.
# Needs: Rust; without --replay a JDK 17 and Maven, which fetches about 60 MB for each release.
. "$(dirname "$0")/lib.sh"

case " $* " in
  *' --replay '* | *' --help '*) ;;
  *)
    has mvn || die "no Maven here (Debian: apt-get install openjdk-17-jdk-headless maven); --replay needs none"
    for release in 4.3 5.0 3.1 4.1; do
      case " $* " in
        *' --release '*) [[ " $* " = *" --release $release "* ]] || continue ;;
      esac
      say "building compat/jvm for $release"
      mvn -q -B -f compat/jvm/pom.xml -P "$release" compile
    done
    ;;
esac
say "building ours"
cargo build --locked -q -p compat
exec "$TARGET/debug/compat" "$@"
