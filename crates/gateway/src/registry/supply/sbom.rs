//! The bill of materials of what a server starts, in CycloneDX 1.6 (ECMA-424).

use base64::{Engine, engine::general_purpose::STANDARD};
use records::digest::hex;
use wire::json::{ArrayWriter, ObjectWriter, object};

use super::{Artefact, Ecosystem, Locked};

/// The document.
pub(crate) fn cyclonedx(server: &str, artefact: &Artefact) -> Vec<u8> {
    let main = artefact.lock.iter().find(|one| one.name == artefact.name);
    object(|out| {
        out.string("$schema", "http://cyclonedx.org/schema/bom-1.6.schema.json");
        out.string("bomFormat", "CycloneDX");
        out.string("specVersion", "1.6");
        out.integer("version", 1);
        out.object("metadata", |out| {
            out.object("tools", |out| {
                out.array("components", |list| {
                    list.object(|out| {
                        out.string("type", "application");
                        out.string("name", "sallyport");
                        out.string("version", env!("CARGO_PKG_VERSION"));
                    });
                });
            });
            out.object("component", |out| {
                out.string("type", "application");
                out.string("bom-ref", &format!("server:{server}"));
                out.string("name", &artefact.name);
                if let Some(version) = &artefact.version {
                    out.string("version", version);
                }
                if let Some(main) = main {
                    write_digests(main, out);
                }
            });
        });
        out.array("components", |list| {
            for one in &artefact.lock {
                write_package(artefact.ecosystem, one, list);
            }
            for file in &artefact.files {
                list.object(|out| {
                    out.string("type", "file");
                    out.string("bom-ref", &format!("file:{}", file.path.display()));
                    out.string("name", &file.path.display().to_string());
                    out.array("hashes", |list| write_hash("SHA-256", &file.digest, list));
                    write_property("sallyport:role", &file.role, out);
                });
            }
        });
    })
}

fn write_package(ecosystem: Ecosystem, one: &Locked, list: &mut ArrayWriter<'_>) {
    let purl = purl(ecosystem, one);
    list.object(|out| {
        out.string(
            "type",
            if ecosystem == Ecosystem::Oci {
                "container"
            } else {
                "library"
            },
        );
        out.string("bom-ref", &purl);
        match one.name.split_once('/').filter(|_| ecosystem == Ecosystem::Npm) {
            Some((group, name)) => {
                out.string("group", group);
                out.string("name", name);
            }
            None => out.string("name", &one.name),
        }
        out.string("version", &one.version);
        write_digests(one, out);
        if let Some(licence) = &one.licence {
            out.array("licenses", |list| {
                list.object(|out| out.object("license", |out| out.string("name", licence)));
            });
        }
        out.string("purl", &purl);
        if one.scripts {
            write_property("sallyport:install-scripts", "not run", out);
        }
    });
}

fn write_property(name: &str, value: &str, out: &mut ObjectWriter<'_>) {
    out.array("properties", |list| {
        list.object(|out| {
            out.string("name", name);
            out.string("value", value);
        });
    });
}

fn write_digests(one: &Locked, out: &mut ObjectWriter<'_>) {
    if one.integrity.is_empty() {
        return;
    }
    out.array("hashes", |list| {
        for integrity in &one.integrity {
            let (kind, value) = integrity.split_once(['-', ':']).unwrap_or_default();
            let algorithm = match kind {
                "sha1" => "SHA-1",
                "sha256" => "SHA-256",
                "sha384" => "SHA-384",
                "sha512" => "SHA-512",
                _ => continue,
            };
            // npm writes base64 (Subresource Integrity), others hexadecimal.
            if integrity.contains('-') {
                if let Ok(bytes) = STANDARD.decode(value) {
                    write_hash(algorithm, &hex(&bytes), list);
                }
            } else {
                write_hash(algorithm, value, list);
            }
        }
    });
}

fn write_hash(algorithm: &str, content: &str, list: &mut ArrayWriter<'_>) {
    list.object(|out| {
        out.string("alg", algorithm);
        out.string("content", content.trim_start_matches("sha256:"));
    });
}

/// The package URL (ECMA-427).
fn purl(ecosystem: Ecosystem, one: &Locked) -> String {
    let (name, version) = (one.name.replace('@', "%40"), one.version.replace('+', "%2B"));
    match ecosystem {
        Ecosystem::Oci => {
            let short = name.rsplit('/').next().unwrap_or(&name);
            format!("pkg:oci/{short}@{}", version.replace(':', "%3A"))
        }
        Ecosystem::File | Ecosystem::Mcpb => format!("pkg:generic/{name}@{version}"),
        Ecosystem::Npm | Ecosystem::Pypi => format!("pkg:{}/{name}@{version}", ecosystem.as_str()),
    }
}
