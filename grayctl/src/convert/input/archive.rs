//! Jars (BOOT-INF/classes) and Nacos' export of documents (GROUP/DATAID). Entries are read, never unpacked: their names stay
//! names. Archives in archives are not opened.

use std::{fs::File, io::BufReader, path::Path};

use anyhow::{Result, anyhow};
use gray_common::service::UsageError;
use zip::ZipArchive;

use super::{Inputs, Kind, is_document, is_local, kind_of_file};

/// Largest archive.
const MAX_ARCHIVE: u64 = 1 << 30;
/// Longest name of an entry.
const MAX_NAME: usize = 1_000;

/// What an entry is.
#[derive(Debug, PartialEq, Eq)]
enum Entry<'n> {
    File { kind: Kind, name: &'n str, group: Option<&'n str> },
    Library(&'n str),
}

pub(super) fn read(path: &Path, inputs: &mut Inputs) -> Result<()> {
    let shown = path.display().to_string();
    let file = File::open(path).map_err(|error| UsageError(format!("cannot read {shown}: {error}")))?;
    if file.metadata()?.len() > MAX_ARCHIVE {
        return Err(UsageError(format!("{shown} is not read: it has more than {} GiB", MAX_ARCHIVE >> 30)).into());
    }
    let broken = |error: &dyn std::error::Error| anyhow!("{shown} is not an archive that can be read: {error}");
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|error| broken(&error))?;
    let is_export = path.extension().is_some_and(|extension| extension == "zip");
    for at in 0..archive.len() {
        inputs.count()?;
        let mut entry = match archive.by_index(at) {
            Ok(entry) => entry,
            Err(error) => {
                inputs.note(format!("an entry of {shown} is not read: {error}"));
                continue;
            }
        };
        let Ok(full) = entry.name().map(std::borrow::Cow::into_owned) else { continue };
        if !entry.is_file() || full.len() > MAX_NAME {
            continue;
        }
        match classify(&full, is_export) {
            Some(Entry::Library(name)) => inputs.libraries.push(name.to_owned()),
            // Of these bytes no more than one file's worth is unpacked, whatever the entry says of its size.
            Some(Entry::File { kind, name, group }) => {
                inputs.add(kind, &format!("{shown}!/{full}"), name, group, &mut entry)?;
            }
            None => {}
        }
    }
    Ok(())
}

/// What an entry of this name is, if anything of interest.
fn classify(full: &str, is_export: bool) -> Option<Entry<'_>> {
    let file = |kind, name, group| Some(Entry::File { kind, name, group });
    for home in ["BOOT-INF/lib/", "WEB-INF/lib/"] {
        if let Some(name) = full.strip_prefix(home) {
            return (!name.contains('/') && name.ends_with(".jar")).then_some(Entry::Library(name));
        }
    }
    let inside = ["BOOT-INF/classes/", "WEB-INF/classes/"].iter().find_map(|home| full.strip_prefix(home));
    if inside.is_none() && is_export {
        let (group, name) = full.rsplit_once('/').map_or((None, full), |(group, name)| (Some(group), name));
        let fits = !name.starts_with('.') && !group.is_some_and(|group| group.contains('/') || group == "META-INF");
        let has_no_extension = group.is_some() && !name.contains('.');
        // In Nacos a document may be called application.yml.
        let kind = if group.is_none() && is_local(name) { Kind::Local } else { Kind::Nacos };
        return if fits && (is_document(name) || has_no_extension) { file(kind, name, group) } else { None };
    }
    let path = inside.unwrap_or(full);
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
    match kind_of_file(name)? {
        // The loader's own classes are beside those of a jar with BOOT-INF.
        Kind::Class => (!full.starts_with("org/springframework/boot/loader/")).then_some(Entry::File {
            kind: Kind::Class,
            name,
            group: None,
        }),
        Kind::Local if matches!(parent, "" | "config") => file(Kind::Local, name, None),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

    use super::*;
    use crate::convert::java::class_bytes;

    fn archive(name: &str, entries: &[(&str, &[u8])]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        let mut writer = ZipWriter::new(File::create(&path).expect("created"));
        for (name, bytes) in entries {
            let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
            writer.start_file(*name, options).expect("begun");
            writer.write_all(bytes).expect("written");
        }
        writer.finish().expect("finished");
        (folder, path)
    }

    #[test]
    fn entries_are_told_by_their_names() {
        let local = |name| Some(Entry::File { kind: Kind::Local, name, group: None });
        let nacos = |name, group| Some(Entry::File { kind: Kind::Nacos, name, group });
        for (name, is_export, expect) in [
            ("BOOT-INF/classes/application.yml", false, local("application.yml")),
            ("BOOT-INF/classes/config/application-x.yml", false, local("application-x.yml")),
            ("BOOT-INF/classes/i18n/application.yml", false, None),
            ("BOOT-INF/lib/spring-x-1.jar", false, Some(Entry::Library("spring-x-1.jar"))),
            ("bootstrap.yml", false, local("bootstrap.yml")),
            ("META-INF/maven/pom.xml", false, None),
            ("org/springframework/boot/loader/Launcher.class", false, None),
            ("DEFAULT_GROUP/shop.yaml", true, nacos("shop.yaml", Some("DEFAULT_GROUP"))),
            ("DEFAULT_GROUP/application.yml", true, nacos("application.yml", Some("DEFAULT_GROUP"))),
            ("G/shop", true, nacos("shop", Some("G"))),
            (".metadata.yml", true, None),
            ("../../x.yaml", true, None),
            ("a/b/c.yaml", true, None),
        ] {
            assert_eq!(classify(name, is_export), expect, "{name}");
        }
    }

    #[test]
    fn a_jar_is_read() {
        let class = class_bytes("com/shop/AuthFilter", "org/springframework/cloud/gateway/filter/GlobalFilter");
        let (_folder, path) = archive(
            "shop.jar",
            &[
                ("BOOT-INF/classes/application.yml", b"a: 1"),
                ("BOOT-INF/classes/com/shop/AuthFilter.class", &class),
                ("BOOT-INF/lib/spring-cloud-gateway-server-4.1.5.jar", b"x"),
                ("../../../../tmp/evil.yml", b"a: 1"),
            ],
        );
        let inputs = Inputs::read(&[&path]).expect("readable");
        assert_eq!(inputs.documents.iter().map(|one| &*one.name).collect::<Vec<_>>(), ["application.yml"]);
        assert!(inputs.documents[0].place.ends_with("shop.jar!/BOOT-INF/classes/application.yml"));
        assert_eq!(inputs.classes[0].name, "com.shop.AuthFilter");
        assert_eq!(inputs.libraries, ["spring-cloud-gateway-server-4.1.5.jar"]);
    }

    #[test]
    fn a_bomb_is_passed_over() {
        let bomb = vec![b'#'; 40 << 20];
        let (_folder, path) = archive("export.zip", &[("G/a.yaml", b"a: 1"), ("G/bomb.yaml", &bomb)]);
        let inputs = Inputs::read(&[&path]).expect("readable");
        assert_eq!(inputs.documents.len(), 1);
        assert!(inputs.notes[0].contains("bomb.yaml is not read"), "{:?}", inputs.notes);
    }

    #[test]
    fn what_is_no_archive_is_an_error() {
        let (_folder, path) = archive("a.jar", &[("application.yml", b"a: 1")]);
        let bytes = std::fs::read(&path).expect("readable");
        for length in [0, 4, bytes.len() / 2, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..length]).expect("written");
            let error = Inputs::read(&[&path]).expect_err("cut").to_string();
            assert!(error.contains("is not an archive that can be read"), "{length}: {error}");
        }
    }
}
