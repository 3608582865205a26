//! Which of the documents a gateway reads, in which order, under which name and profiles, and with which flags.

use std::collections::{BTreeSet, HashSet};

use anyhow::{Result, anyhow};
use gray_common::{
    documents::document_name,
    service::{SHARED_DOCUMENT, UsageError},
};
use gray_document::{Documents, Outline, Problem, Profiles, Reading};
use gray_settings::sources::{Bootstrap, DocumentId, EXTENSIONS, Wanted, imported};

use super::input::Input;

/// Where the choices stand.
pub(super) const RULES: &str = "gray-rules.yaml";
/// Directory of the files of `--bootstrap`.
const LOCAL: &str = "local";
/// How the gateway is called without a name.
const USUAL: &str = "gateway-app";
const DEFAULT_GROUP: &str = "DEFAULT_GROUP";
/// What a program has that reads documents of Nacos.
const NACOS: [&str; 2] = ["spring.cloud.nacos.config", "spring.config.import"];

/// What a gateway reads.
#[derive(Debug)]
pub(super) struct Plan {
    /// `--name`
    pub(super) name: String,
    /// `--profile`
    pub(super) profiles: Vec<String>,
    /// The group of the program's own documents.
    pub(super) group: Option<String>,
    pub(super) reading: Reading,
    /// The one that counts least first.
    pub(super) documents: Vec<Planned>,
    /// Documents that are named and were not given.
    pub(super) missing: Vec<String>,
    /// Documents that were given and are not read.
    pub(super) unread: Vec<String>,
    /// Profiles for which there are documents that are not active.
    pub(super) other_profiles: BTreeSet<String>,
    /// What is wrong with what says which documents are read.
    pub(super) problems: Vec<Problem>,
    /// The program reads documents of Nacos.
    asks_nacos: bool,
}

/// A document that is read.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub(super) input: Input,
    /// Its name in the new directory.
    pub(super) file: String,
    /// It is given by `--bootstrap`.
    pub(super) is_local: bool,
}

impl Planned {
    /// Where it is in the new directory: files of the program are not to be published, so they are apart.
    pub(super) fn path(&self) -> String {
        if self.is_local { format!("{LOCAL}/{}", self.file) } else { self.file.clone() }
    }
}

impl Plan {
    /// Works it out, with the name and the profiles of the flags where there are any.
    ///
    /// # Errors
    /// A name or profile that cannot be used, or a local document that is not well formed.
    pub(super) fn new(inputs: &[Input], name: Option<&str>, profiles: &[String]) -> Result<Self> {
        let mut active = profiles.to_vec();
        let (mut bootstrap, mut problems) = Default::default();
        // Parts of the files may be for the profiles that the files make active.
        for _ in 0..2 {
            let local = local(inputs, &active);
            (bootstrap, problems) = read_bootstrap(&local, &active)?;
            if profiles.is_empty() {
                active.clone_from(&bootstrap.profiles);
            }
        }
        let name = match name.map(str::to_owned).or_else(|| bootstrap.name.clone()) {
            Some(name) => name,
            None => guessed_name(inputs, &active),
        };
        let name = document_name(&name).map_err(|expected| UsageError(format!("--name `{name}`: {expected}")))?;
        let known = known(&active)?;
        let reading = Reading::from(known.clone());
        let group = bootstrap.group.clone();
        let wanted = Wanted {
            name: &name,
            profiles: &known,
            first: &[SHARED_DOCUMENT],
            last: &[RULES],
            group: group.as_deref().unwrap_or(DEFAULT_GROUP),
        };
        let ids = wanted.documents(&bootstrap).map_err(|reason| anyhow!(UsageError(reason)))?;
        let own: HashSet<_> = wanted.own().collect();
        let mut plan = Self {
            group,
            profiles: active,
            reading,
            documents: Vec::new(),
            missing: Vec::new(),
            unread: Vec::new(),
            other_profiles: BTreeSet::new(),
            problems,
            asks_nacos: false,
            name,
        };
        plan.fill(inputs, &ids, &own);
        plan.place();
        plan.note_others(inputs);
        Ok(plan)
    }

    fn fill(&mut self, inputs: &[Input], ids: &[DocumentId], own: &HashSet<String>) {
        let named: Vec<_> = ids.iter().map(|id| id.data_id.clone()).collect();
        // Of a directory it is not known whether `application-dev.yml` is a file of the program; that it is named tells.
        let is_named = |input: &&Input| named.contains(&input.name);
        let local = local(inputs, &self.profiles);
        let files = local.into_iter().filter(|input| !is_named(input));
        self.documents.extend(files.map(|input| planned(input, true)));
        for id in ids {
            self.take(inputs, id, own);
        }
    }

    /// Takes a document, and those that it imports behind it.
    fn take(&mut self, inputs: &[Input], id: &DocumentId, own: &HashSet<String>) {
        let Some(input) = find(inputs, id) else {
            let is_optional = own.contains(&id.data_id) || [SHARED_DOCUMENT, RULES].contains(&&*id.data_id);
            if !is_optional && !self.missing.contains(&id.to_string()) {
                self.missing.push(id.to_string());
            }
            return;
        };
        self.documents.retain(|known| known.input.place != input.place);
        self.documents.push(planned(input, false));
        for import in imported(&input.name, &input.text, &self.reading).unwrap_or_default() {
            if let Some(imported) = find(inputs, &import) {
                self.documents.retain(|known| known.input.place != imported.place);
                self.documents.push(planned(imported, false));
            } else if !self.missing.contains(&import.to_string()) {
                self.missing.push(import.to_string());
            }
        }
    }

    /// Application files become the documents NAME.yml, which are live, where the program reads nothing of Nacos: there, a
    /// document of that name would count more than those that it reads now.
    fn place(&mut self) {
        let local = || self.documents.iter().filter(|one| one.is_local);
        self.asks_nacos = local().any(|one| {
            let outline = Outline::of(&one.input.place, &one.input.text, &self.reading);
            outline.is_some_and(|outline| NACOS.iter().any(|key| outline.has(key)))
        });
        if self.asks_nacos {
            return;
        }
        for one in self.documents.iter_mut().filter(|one| one.input.name.starts_with("application") && one.is_local) {
            one.file = one.input.name.replacen("application", &self.name, 1);
            one.is_local = false;
        }
    }

    /// The program reads documents of its own from Nacos, and none of them was given.
    pub(super) fn lacks_own(&self) -> bool {
        let is_own = |one: &Planned| !one.is_local && ![RULES, SHARED_DOCUMENT].contains(&&*one.file);
        self.asks_nacos && !self.documents.iter().any(is_own)
    }

    fn note_others(&mut self, inputs: &[Input]) {
        for input in inputs.iter().filter(|input| !self.documents.iter().any(|one| one.input.place == input.place)) {
            let stem = input.name.rsplit_once('.').map_or(&*input.name, |(stem, _)| stem);
            let homes = [&*self.name, "application", "bootstrap"];
            let profile = homes.iter().find_map(|home| stem.strip_prefix(home)?.strip_prefix('-'));
            match profile {
                Some(profile) => drop(self.other_profiles.insert(profile.to_owned())),
                None => self.unread.push(input.place.clone()),
            }
        }
    }

    /// Name and text of every document, as the reader takes them.
    pub(super) fn sources(&self) -> Vec<(&str, &str)> {
        self.documents.iter().map(|one| (&*one.input.place, &*one.input.text)).collect()
    }

    /// The flags that say which documents are read, with the files of `--bootstrap` in this directory.
    pub(super) fn flags(&self, directory: &str) -> Vec<String> {
        let mut flags = Vec::new();
        if self.name != USUAL {
            flags.push(format!("--name {}", self.name));
        }
        if !self.profiles.is_empty() {
            flags.push(format!("--profile {}", quoted(&self.profiles.join(","))));
        }
        let local: Vec<_> = { self.documents.iter() }
            .filter(|one| one.is_local)
            .map(|one| format!("{}/{}", directory.trim_end_matches('/'), one.path()))
            .collect();
        if !local.is_empty() {
            flags.push(format!("--bootstrap {}", quoted(&local.join(","))));
        }
        flags
    }

    /// The same, and where Nacos is, as far as the documents say it.
    pub(super) fn start(&self, documents: Option<&Documents>, directory: &str) -> String {
        let text = |keys: &[&str]| {
            let root = documents?.root();
            keys.iter().find_map(|key| root.string(key)).filter(|text| !text.contains("${"))
        };
        let config = "spring.cloud.nacos.config";
        let discovery = "spring.cloud.nacos.discovery";
        let of =
            |key: &str| [format!("{config}.{key}"), format!("{discovery}.{key}"), format!("spring.cloud.nacos.{key}")];
        let first = |keys: [String; 3]| text(&keys.each_ref().map(|key| key.as_str()));
        let mut words = vec!["gray-gateway".to_owned()];
        let server = first(of("server-addr")).map(|server| server.trim_start_matches("http://").to_owned());
        words.push(format!("--nacos {}", quoted(server.as_deref().unwrap_or("HOST:8848"))));
        words.push(format!("--namespace {}", quoted(first(of("namespace")).as_deref().unwrap_or("public"))));
        if let Some(group) = self.group.clone().or_else(|| text(&["spring.cloud.nacos.discovery.group"])) {
            words.push(format!("--group {}", quoted(&group)));
        }
        words.extend(self.flags(directory));
        if let Some(port) = text(&["server.port"]) {
            words.push(format!("--port {}", quoted(&port)));
        }
        words.join(" ")
    }
}

/// A word of a command line of a shell.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./,:=@".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

fn planned(input: &Input, is_local: bool) -> Planned {
    Planned { input: input.clone(), file: input.name.clone(), is_local }
}

/// The document of this data id; that of its group before others.
fn find<'i>(inputs: &'i [Input], id: &DocumentId) -> Option<&'i Input> {
    let mut of_name: Vec<_> = inputs.iter().filter(|input| input.name == id.data_id).collect();
    let group = id.group.as_deref().unwrap_or(DEFAULT_GROUP);
    of_name.sort_by_key(|input| (input.group.as_deref().is_some_and(|own| own != group), input.is_local));
    of_name.first().copied()
}

fn known(profiles: &[String]) -> Result<Profiles> {
    let known = Profiles::new(profiles.iter().map(String::as_str));
    known.map_err(|reason| UsageError(format!("--profile: {reason}")).into())
}

/// The files of the program for these profiles, the one that counts least first.
fn local<'i>(inputs: &'i [Input], profiles: &[String]) -> Vec<&'i Input> {
    let mut found = Vec::new();
    for home in ["bootstrap", "application"] {
        let stems = [home.to_owned()].into_iter().chain(profiles.iter().map(|profile| format!("{home}-{profile}")));
        for name in stems.flat_map(|stem| EXTENSIONS.map(|extension| format!("{stem}.{extension}"))) {
            found.extend(inputs.iter().filter(|input| input.is_local && input.name == name));
        }
    }
    found
}

fn read_bootstrap(local: &[&Input], profiles: &[String]) -> Result<(Bootstrap, Vec<Problem>)> {
    let reading = Reading::from(known(profiles)?);
    let sources: Vec<_> = local.iter().map(|input| (&*input.place, &*input.text)).collect();
    let documents = Documents::parse_for(&sources, &reading, &environment)
        .map_err(|problems| anyhow!("the gateway would refuse it:\n{problems}"))?;
    let bootstrap = Bootstrap::read(&documents);
    Ok((bootstrap, documents.take_problems().into_iter().collect()))
}

/// What placeholders stand for that no document answers.
pub(super) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// By the shortest name among the documents with routes, without a profile at its end.
fn guessed_name(inputs: &[Input], profiles: &[String]) -> String {
    let stems: Vec<_> = { inputs.iter() }
        .filter(|input| !input.is_local && input.name != RULES && input.has_routes())
        .map(|input| input.name.rsplit_once('.').map_or(&*input.name, |(stem, _)| stem))
        .collect();
    let shortest = stems.iter().min_by_key(|stem| (stem.len(), **stem)).copied().unwrap_or(USUAL);
    let active = profiles.iter().find_map(|profile| shortest.strip_suffix(profile.as_str())?.strip_suffix('-'));
    active.unwrap_or(shortest).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(name: &str, text: &str) -> Input {
        let is_local = name.starts_with("application") || name.starts_with("bootstrap");
        Input { place: name.into(), name: name.into(), group: None, is_local, text: text.into() }
    }

    fn plan(inputs: &[(&str, &str)], profiles: &[&str]) -> Plan {
        let inputs: Vec<_> = inputs.iter().map(|(name, text)| input(name, text)).collect();
        let profiles: Vec<_> = profiles.iter().map(ToString::to_string).collect();
        Plan::new(&inputs, None, &profiles).expect("a plan")
    }

    fn files(plan: &Plan) -> Vec<String> {
        plan.documents.iter().map(|one| format!("{}{}", one.file, if one.is_local { "!" } else { "" })).collect()
    }

    const ROUTES: &str = "spring.cloud.gateway.routes: []";

    #[test]
    fn files_of_a_program_become_documents_of_its_name() {
        let application = "spring: { application.name: shop, profiles.active: prod }";
        let plan = plan(
            &[
                ("application.yml", application),
                ("application-prod.properties", "a=1"),
                ("application-dev.yml", "a: 1"),
                ("bootstrap.yml", "b: 1"),
            ],
            &[],
        );
        assert_eq!((&*plan.name, &plan.profiles[..]), ("shop", &["prod".to_owned()][..]));
        assert_eq!(files(&plan), ["bootstrap.yml!", "shop.yml", "shop-prod.properties"]);
        assert_eq!(plan.other_profiles.iter().collect::<Vec<_>>(), ["dev"]);
        assert_eq!(plan.flags("out/"), ["--name shop", "--profile prod", "--bootstrap out/local/bootstrap.yml"]);
    }

    #[test]
    fn beside_documents_of_nacos_they_stay_files() {
        let bootstrap = "spring: { application.name: shop, cloud.nacos.config: { server-addr: 'n:8848', namespace: ns,
            shared-configs: [ application-dev.yml, redis.yaml ] } }";
        let plan = plan(
            &[
                ("bootstrap.yml", bootstrap),
                ("application.yml", "server.port: 8080"),
                ("application-dev.yml", "x: 1"),
                ("shop-dev.yml", ROUTES),
                ("other.yaml", "x: 1"),
            ],
            &["dev"],
        );
        assert_eq!(files(&plan), ["bootstrap.yml!", "application.yml!", "application-dev.yml", "shop-dev.yml"]);
        assert_eq!((plan.missing, plan.unread), (vec!["redis.yaml".to_owned()], vec!["other.yaml".to_owned()]));
    }

    #[test]
    fn documents_that_were_not_given_are_asked_for() {
        let text = "spring: { application.name: shop, cloud.nacos.config.server-addr: 'n:8848' }";
        let plan = plan(&[("application.yml", text)], &[]);
        assert!(plan.lacks_own() && files(&plan) == ["application.yml!"], "{plan:?}");
    }

    #[test]
    fn where_nacos_is_stands_in_the_command() {
        let text = "server.port: 8080\nspring: { application.name: shop, cloud.nacos.discovery: { server-addr: 'http://n:8848', namespace: 'a b' } }";
        let plan = plan(&[("application.yml", text)], &[]);
        let documents = Documents::parse(&plan.sources(), &|_| None).expect("well formed");
        assert_eq!(
            plan.start(Some(&documents), "out"),
            "gray-gateway --nacos n:8848 --namespace 'a b' --name shop --port 8080"
        );
        assert!(plan.start(None, "out").starts_with("gray-gateway --nacos HOST:8848 --namespace public --name shop"));
    }

    #[test]
    fn without_a_file_of_the_program_the_routes_tell_the_name() {
        for (inputs, profiles, name) in [
            (&[("shop-gateway.yaml", ROUTES), ("users.yaml", "a: 1")][..], &[][..], "shop-gateway"),
            (&[("shop-gateway-dev.yaml", ROUTES)], &["dev"], "shop-gateway"),
            (&[("shop-gateway-dev.yaml", ROUTES)], &[], "shop-gateway-dev"),
            (&[("users.yaml", "a: 1")], &[], "gateway-app"),
        ] {
            assert_eq!(plan(inputs, profiles).name, name, "{inputs:?}");
        }
        let plan = plan(&[("shop.yaml", "spring.config.import: nacos:more.yaml"), ("more.yaml", ROUTES)], &[]);
        assert_eq!(plan.name, "more");
    }

    #[test]
    fn what_cannot_be_used_is_said() {
        let inputs = [input("application.yml", "a: [")];
        assert!(Plan::new(&inputs, None, &[]).expect_err("no YAML").to_string().contains("application.yml:"));
        for (name, profile) in [("../x", "a"), ("x", "a b")] {
            let error = Plan::new(&[], Some(name), &[profile.to_owned()]).expect_err(name);
            assert!(error.is::<UsageError>(), "{error}");
        }
    }
}
