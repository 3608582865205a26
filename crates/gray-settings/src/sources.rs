//! Which documents a program reads, and in which order (Spring Cloud Alibaba's `NacosPropertySourceLocator`).

use std::{collections::HashSet, fmt};

use gray_document::{Documents, Item, Profiles, Reading, Section, check_for};

/// Most documents that documents may name.
pub const MAX_NAMED: usize = 32;
/// Most documents that a program follows.
pub const MAX_DOCUMENTS: usize = 96;
/// Extensions of documents; of two, the later one counts more.
pub const EXTENSIONS: [&str; 4] = ["json", "yml", "yaml", "properties"];
/// The group of entries that name none, as in Spring.
const DEFAULT_GROUP: &str = "DEFAULT_GROUP";
/// Where Spring Cloud Alibaba has them.
pub(super) const NACOS: &str = "spring.cloud.nacos.config";
/// The keys there that count in a local file.
pub(super) const KEYS: [&str; 8] = [
    "name",
    "prefix",
    "group",
    "file-extension",
    "shared-dataids",
    "shared-configs",
    "ext-config",
    "extension-configs",
];
const IMPORT: &str = "spring.config.import";

/// A document: its data id, and its group where that is another than the program's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DocumentId {
    /// Name of the document.
    pub data_id: String,
    /// `None` = the program's own.
    pub group: Option<String>,
}

impl fmt::Display for DocumentId {
    /// `DATAID` or `DATAID@GROUP`, as sources of documents take it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.data_id)?;
        self.group.iter().try_for_each(|group| write!(f, "@{group}"))
    }
}

impl DocumentId {
    /// Checks what an item names.
    fn new(data_id: &str, group: Option<&str>, item: &Item<'_>) -> Option<Self> {
        for (what, text) in [("data id", Some(data_id)), ("group", group)] {
            let Some(text) = text else { continue };
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '_' | '-');
            if text.is_empty() || text.len() > 255 || !text.chars().all(fits) || text.starts_with('.') {
                let expected = "expected 1 to 255 letters, digits and . : _ -, no dot first";
                item.error(format!("`{text}` is not a {what} of Nacos: {expected}"));
                return None;
            }
        }
        Some(Self { data_id: data_id.to_owned(), group: group.map(str::to_owned) })
    }
}

/// What a local `bootstrap.yml` or `application.yml` says of other documents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bootstrap {
    /// Name of the program's own documents: `spring.cloud.nacos.config.name`, `prefix`, or `spring.application.name`.
    pub name: Option<String>,
    /// `spring.profiles.active` and `spring.profiles.include`.
    pub profiles: Vec<String>,
    /// `spring.cloud.nacos.config.group`: the group of the program's own documents.
    pub group: Option<String>,
    /// `shared-configs`, then `extension-configs`: later ones win, and the program's own win over all of them.
    pub shared: Vec<DocumentId>,
    /// `spring.config.import`: later ones win, and all of them over the program's own.
    pub imports: Vec<DocumentId>,
}

impl Bootstrap {
    /// Reads it; problems are noted in the documents.
    pub fn read(documents: &Documents) -> Self {
        let root = documents.root();
        let nacos = root.section(NACOS);
        let group = nacos.string("group");
        let name = nacos.string("name").or_else(|| nacos.string("prefix"));
        let profiles = ["include", "active"].into_iter().flat_map(|key| root.section("spring.profiles").items(key));
        let mut shared = Vec::new();
        for key in &KEYS[4..] {
            shared.extend(nacos.items(key).iter().filter_map(named));
        }
        let imports = imports(&root, group.as_deref());
        let found = shared.len() + imports.len();
        if found > MAX_NAMED {
            nacos.error(
                "shared-configs",
                format!("{found} documents are named here and in {IMPORT}; at most {MAX_NAMED}"),
            );
        }
        Self {
            name: name.or_else(|| root.string("spring.application.name")),
            profiles: profiles.filter_map(|item| item.text().map(str::to_owned)).collect(),
            group,
            shared,
            imports,
        }
    }
}

/// An entry of `shared-configs`: a data id, or a map of `data-id`, `group` and `refresh`.
fn named(item: &Item<'_>) -> Option<DocumentId> {
    if !item.is_map() {
        return DocumentId::new(item.required_text("a data id")?, Some(DEFAULT_GROUP), item);
    }
    let section = item.section();
    // All documents are followed, whatever it says.
    section.bool("refresh");
    let group = section.string("group").unwrap_or_else(|| DEFAULT_GROUP.to_owned());
    let Some(data_id) = section.string("data-id") else {
        section.error("data-id", "missing; an entry has `data-id`, and may have `group` and `refresh`");
        return None;
    };
    DocumentId::new(&data_id, Some(&group), item)
}

/// The documents that `spring.config.import` names: `nacos:DATAID?group=GROUP`, also with `optional:` before it.
fn imports(root: &Section<'_>, group: Option<&str>) -> Vec<DocumentId> {
    let import = |item: &Item<'_>| {
        let text = item.text()?.trim();
        let location = text.strip_prefix("optional:").unwrap_or(text);
        let Some(location) = location.strip_prefix("nacos:") else {
            item.warn("not read: only documents of Nacos are imported, as nacos:DATAID?group=GROUP");
            return None;
        };
        let (data_id, query) = location.split_once('?').unwrap_or((location, ""));
        let own = query.split('&').find_map(|pair| pair.strip_prefix("group="));
        let data_id = data_id.trim_start_matches('/');
        // `nacos:` alone is Spring's way to say: the documents of this program.
        if data_id.is_empty() { None } else { DocumentId::new(data_id, own.or(group), item) }
    };
    root.items(IMPORT).iter().filter_map(import).collect()
}

/// The documents that a document of Nacos imports; those of a text that is not well formed are not known.
pub fn imported(name: &str, text: &str, reading: &Reading) -> Option<Vec<DocumentId>> {
    // Most say nothing of it, and are not read twice for that.
    if !text.contains("import") {
        return Some(Vec::new());
    }
    let read = |documents: &Documents| imports(&documents.root(), None);
    let mut found = check_for(&[(name, text)], reading, read).ok()?.0;
    found.truncate(MAX_NAMED);
    Some(found)
}

/// What a program looks for: names of documents, the one that counts least first.
#[derive(Clone, Debug)]
pub struct Wanted<'w> {
    /// Name of the program's own documents.
    pub name: &'w str,
    /// The active profiles.
    pub profiles: &'w Profiles,
    /// Documents that count less than all others.
    pub first: &'w [&'w str],
    /// Documents that count more than all others.
    pub last: &'w [&'w str],
    /// The program's group in Nacos.
    pub group: &'w str,
}

impl Wanted<'_> {
    /// `NAME`, `NAME.EXT`, `NAME-PROFILE.EXT`, the one that counts least first.
    pub fn own(&self) -> impl Iterator<Item = String> {
        let of = |stem: String| EXTENSIONS.map(|extension| format!("{stem}.{extension}"));
        let plain = [self.name.to_owned()].into_iter().chain(of(self.name.to_owned()));
        let profiles = self.profiles.names().map(|profile| format!("{}-{profile}", self.name));
        plain.chain(profiles.flat_map(of).collect::<Vec<_>>())
    }

    /// All documents, each once, where it counts most.
    ///
    /// # Errors
    /// That there are too many.
    pub fn documents(&self, bootstrap: &Bootstrap) -> Result<Vec<DocumentId>, String> {
        let plain = |data_id: String| DocumentId { data_id, group: None };
        let named = |names: &[&str]| names.iter().map(|name| plain((*name).to_owned())).collect::<Vec<_>>();
        let own = self.own().map(|data_id| DocumentId { data_id, group: bootstrap.group.clone() });
        let all = named(self.first).into_iter().chain(bootstrap.shared.iter().cloned()).chain(own);
        let all = all.chain(bootstrap.imports.iter().cloned()).chain(named(self.last));
        let at_home =
            |document: DocumentId| DocumentId { group: document.group.filter(|group| group != self.group), ..document };
        let all: Vec<_> = all.map(at_home).collect();
        let mut seen = HashSet::new();
        let mut kept: Vec<_> = all.into_iter().rev().filter(|document| seen.insert(document.clone())).collect();
        kept.reverse();
        if kept.len() > MAX_DOCUMENTS {
            let found = kept.len();
            return Err(format!(
                "{found} documents would be followed, at most {MAX_DOCUMENTS}; activate fewer profiles"
            ));
        }
        Ok(kept)
    }
}

#[cfg(test)]
mod tests {
    use gray_document::check;

    use super::*;

    fn names(wanted: &Wanted<'_>, bootstrap: &Bootstrap) -> Vec<String> {
        wanted.documents(bootstrap).expect("few").iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_order_is_that_of_spring_cloud_alibaba() {
        let text = "\
spring:
  application.name: shop
  profiles: { active: 'dev,eu', include: base }
  config.import:
    - optional:nacos:imported.yaml?group=G&refreshEnabled=true
    - nacos:shop.yaml
    - 'optional:file:./more.yml'
  cloud.nacos.config:
    shared-configs: [ { data-id: redis.yaml, group: COMMON, refresh: true }, plain.yml ]
    extension-configs[0]: { dataId: ext.properties }
    extension-configs[1].data-id: common-config.yaml
";
        let (bootstrap, warnings) = check(&[("bootstrap.yml", text)], Bootstrap::read).expect("good");
        assert_eq!(bootstrap.name.as_deref(), Some("shop"));
        assert_eq!(bootstrap.profiles, ["base", "dev", "eu"]);
        let warnings = warnings.to_string();
        assert!(warnings.starts_with("bootstrap.yml:7: spring.config.import[2]: not read"), "{warnings}");
        let profiles = "dev".parse().expect("a profile");
        let wanted = Wanted {
            name: "shop",
            profiles: &profiles,
            first: &["common-config.yaml"],
            last: &["gray-rules.yaml"],
            group: "DEFAULT_GROUP",
        };
        assert_eq!(
            names(&wanted, &bootstrap),
            [
                "redis.yaml@COMMON",
                "plain.yml",
                "ext.properties",
                "common-config.yaml",
                "shop",
                "shop.json",
                "shop.yml",
                "shop.properties",
                "shop-dev.json",
                "shop-dev.yml",
                "shop-dev.yaml",
                "shop-dev.properties",
                "imported.yaml@G",
                "shop.yaml",
                "gray-rules.yaml",
            ]
        );
        let elsewhere = Wanted { group: "OTHER", ..wanted.clone() };
        assert!(names(&elsewhere, &bootstrap).contains(&"plain.yml@DEFAULT_GROUP".to_owned()));
        let own = Bootstrap { group: Some("G".into()), ..Bootstrap::default() };
        assert_eq!(names(&wanted, &own)[..3], ["common-config.yaml", "shop@G", "shop.json@G"]);
    }

    #[test]
    fn what_cannot_be_a_document_is_an_error() {
        for (text, expect) in [
            ("shared-configs: [{ group: G }]", "data-id: missing"),
            ("shared-configs: ['a/b']", "`a/b` is not a data id"),
            ("shared-configs: [{ data-id: a, group: 'b@c' }]", "`b@c` is not a group"),
            ("extension-configs: ['../x.yaml']", "is not a data id"),
        ] {
            let text = format!("spring.cloud.nacos.config:\n  {text}");
            let problems = check(&[("b.yml", &text)], Bootstrap::read).expect_err(&text).to_string();
            assert!(problems.contains(expect) && problems.starts_with("b.yml:2"), "{text}: {problems}");
        }
        let many: String = (0..40).map(|number| format!("shared-configs[{number}]: a{number}.yaml\n")).collect();
        let many = many.replace("shared", "spring.cloud.nacos.config.shared");
        let problems = check(&[("b.yml", &many)], Bootstrap::read).expect_err("many").to_string();
        assert!(problems.contains("at most 32"), "{problems}");
        let many: Vec<_> = (0..30).map(|number| format!("p{number}")).collect();
        let profiles = Profiles::new(many.iter().map(String::as_str)).expect("few enough");
        let wanted = Wanted { name: "a", profiles: &profiles, first: &[], last: &[], group: "G" };
        assert!(wanted.documents(&Bootstrap::default()).expect_err("many").contains("at most 96"));
    }

    #[test]
    fn a_document_names_others() {
        let reading = Reading::default();
        let text = "spring.config.import: nacos:a.yaml, nacos:b.yaml?group=G";
        let found = imported("x.yaml", text, &reading).expect("well formed");
        assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a.yaml", "b.yaml@G"]);
        assert_eq!(imported("x.yaml", "a: 1", &reading), Some(Vec::new()));
        assert_eq!(imported("x.yaml", "import: [", &reading), None);
    }
}
