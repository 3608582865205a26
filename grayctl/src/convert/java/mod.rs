//! What an application has in Java or Kotlin that no document shows: classes, found by name and by what they extend.
//!
//! Nothing is run and nothing is resolved. From sources the text is read, from a jar the class files; both become [`Class`].

mod annotation;
mod class_file;
mod hint;
mod role;
mod source;
mod token;

pub(super) use self::{
    class_file::parse as parse_class,
    role::{Found, Role, guess, roles},
    source::parse as parse_source,
};

/// A class, an interface or a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Class {
    /// With its package.
    pub(super) name: String,
    /// The file it stands in.
    pub(super) file: String,
    /// 0 where it is not known.
    pub(super) line: u32,
    /// Simple names of what it extends and implements.
    pub(super) supertypes: Vec<String>,
    pub(super) annotations: Vec<Annotation>,
    pub(super) methods: Vec<Method>,
    /// Simple names of other types that it names, among those that tell something.
    pub(super) mentions: Vec<String>,
    /// What a key resolver counts by, where its text shows it.
    pub(super) hint: Option<String>,
}

/// A method that makes a bean or answers requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Method {
    pub(super) name: String,
    /// Simple name of its result.
    pub(super) returns: String,
    pub(super) line: u32,
    pub(super) annotations: Vec<Annotation>,
    pub(super) hint: Option<String>,
}

/// An annotation, and the texts in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Annotation {
    pub(super) name: String,
    pub(super) texts: Vec<String>,
}

/// The simple name of a type: `GlobalFilter` of `org.springframework.GlobalFilter<X>`.
fn simple(name: &str) -> &str {
    let name = name.split('<').next().unwrap_or(name);
    name.rsplit(['.', '/', '$']).next().unwrap_or(name)
}

impl Class {
    /// Without its package.
    pub(super) fn simple_name(&self) -> &str {
        simple(&self.name)
    }

    fn annotation(&self, name: &str) -> Option<&Annotation> {
        self.annotations.iter().find(|annotation| annotation.name == name)
    }

    /// The name of its bean, as Spring makes it.
    fn bean(&self) -> String {
        let named = ["Component", "Service", "Configuration"].iter().find_map(|name| self.annotation(name));
        if let Some(name) = named.and_then(|annotation| annotation.texts.first()) {
            return name.clone();
        }
        decapitalised(self.simple_name())
    }
}

impl Method {
    /// The name of the bean that it makes, if it makes one.
    fn bean(&self) -> Option<&str> {
        let bean = self.annotations.iter().find(|annotation| annotation.name == "Bean")?;
        Some(bean.texts.first().map_or(&self.name, |name| name))
    }
}

/// `java.beans.Introspector.decapitalize`: `URLFilter` stays.
fn decapitalised(name: &str) -> String {
    let mut chars = name.chars();
    match (chars.next(), chars.next()) {
        (Some(_), Some(second)) if second.is_uppercase() => name.to_owned(),
        (Some(first), _) => first.to_lowercase().chain(name.chars().skip(1)).collect(),
        (None, _) => String::new(),
    }
}

/// The annotations of controllers that name paths.
const MAPPINGS: [&str; 6] =
    ["RequestMapping", "GetMapping", "PostMapping", "PutMapping", "DeleteMapping", "PatchMapping"];

/// The paths that a controller answers, with the line of each.
pub(super) fn mappings(class: &Class) -> Vec<(String, u32)> {
    if !class.annotations.iter().any(|one| ["RestController", "Controller"].contains(&&*one.name)) {
        return Vec::new();
    }
    let paths = |annotations: &[Annotation]| -> Vec<String> {
        let mapping = annotations.iter().find(|one| MAPPINGS.contains(&&*one.name));
        mapping.map(|one| one.texts.iter().filter(|text| !text.contains(' ')).cloned().collect()).unwrap_or_default()
    };
    let mut prefixes = paths(&class.annotations);
    if prefixes.is_empty() {
        prefixes.push(String::new());
    }
    let mut found = Vec::new();
    for method in &class.methods {
        if !method.annotations.iter().any(|one| MAPPINGS.contains(&&*one.name)) {
            continue;
        }
        let mut own = paths(&method.annotations);
        if own.is_empty() {
            own.push(String::new());
        }
        for prefix in &prefixes {
            found.extend(own.iter().map(|path| (joined(prefix, path), method.line)));
        }
    }
    found
}

fn joined(prefix: &str, path: &str) -> String {
    let segments = prefix.split('/').chain(path.split('/')).filter(|segment| !segment.is_empty());
    segments.fold(String::new(), |joined, segment| joined + "/" + segment)
}

/// A class file with this name that implements this interface.
#[cfg(test)]
pub(super) fn class_bytes(name: &str, interface: &str) -> Vec<u8> {
    let names = [name, "java/lang/Object", interface];
    class_file::tests::Writer::default().write(names, ("Component", None), ("made", "()V", ("Bean", None)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beans_are_named_as_spring_names_them() {
        for (class, bean) in [("com.x.AuthFilter", "authFilter"), ("URLFilter", "URLFilter"), ("a.B$C", "c")] {
            assert_eq!(Class { name: class.into(), ..Class::default() }.bean(), bean);
        }
    }

    #[test]
    fn paths_are_joined_with_one_slash() {
        for (prefix, path, expect) in
            [("", "/a", "/a"), ("/a", "", "/a"), ("a/", "/b", "/a/b"), ("/", "b", "/b"), ("", "", "")]
        {
            assert_eq!(joined(prefix, path), expect);
        }
    }
}
