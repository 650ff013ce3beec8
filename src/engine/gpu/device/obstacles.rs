//! What keeps Vulkan from finding an adapter: its loader, the drivers' manifests (ICD files) and their libraries, looked for where the
//! Vulkan loader looks for them (its document LoaderDriverInterface). The loader itself tells a program none of it.
//!
//! Not here: the adapters that are found ([`super::adapter`]).

/// What keeps drivers from being used, one sentence each; empty where nothing is known to.
#[cfg(not(target_os = "linux"))]
pub fn obstacles() -> Vec<String> {
    Vec::new()
}

/// What keeps drivers from being used, one sentence each; empty where nothing is known to.
#[cfg(target_os = "linux")]
pub fn obstacles() -> Vec<String> {
    linux::obstacles()
}

#[cfg(target_os = "linux")]
mod linux {
    use serde_json::Value;
    use std::env;
    use std::ffi::{OsStr, OsString, c_char, c_void};
    use std::fs;
    use std::path::{Path, PathBuf};

    /// As every program on Vulkan loads it.
    const LOADER: &str = "libvulkan.so.1";

    /// Where manifests are in a directory of configuration or data.
    const MANIFESTS: &str = "vulkan/icd.d";

    /// What tells that there is a GPU of NVIDIA, whose driver for Vulkan is left out of containers that do not ask for graphics.
    const NVIDIA: &str = "/dev/nvidiactl";

    pub fn obstacles() -> Vec<String> {
        let exists = |path: &str| Path::new(path).exists();
        Surroundings { variable: &|name| env::var_os(name), load: &load, drive: &drive, exists: &exists }.obstacles()
    }

    /// The machine as it is, or as a test has it.
    struct Surroundings<'a> {
        variable: &'a dyn Fn(&str) -> Option<OsString>,
        /// Says why a library does not load.
        load: &'a dyn Fn(&OsStr) -> Result<(), String>,
        /// Says why the library of a driver does not load, or does not offer Vulkan.
        drive: &'a dyn Fn(&OsStr) -> Result<(), String>,
        exists: &'a dyn Fn(&str) -> bool,
    }

    impl Surroundings<'_> {
        fn obstacles(&self) -> Vec<String> {
            if let Err(why) = (self.load)(LOADER.as_ref()) {
                return vec![format!(
                    "the Vulkan loader does not load ({why}); the package is libvulkan1, vulkan-loader or vulkan-icd-loader"
                )];
            }
            let (mut manifests, mut told) = self.manifests();
            for name in ["VK_LOADER_DRIVERS_DISABLE", "VK_LOADER_DRIVERS_SELECT"] {
                if let Some(text) = (self.variable)(name).filter(|text| !text.is_empty()) {
                    told.push(format!("{name}={} leaves drivers out; unset it to have all", text.to_string_lossy()));
                }
            }
            manifests.sort();
            manifests.dedup();
            told.extend(manifests.iter().filter_map(|file| self.hindered(file)));
            let is_nvidia = |file: &PathBuf| file.to_string_lossy().to_lowercase().contains("nvidia");
            if (self.exists)(NVIDIA) && !manifests.iter().any(is_nvidia) {
                told.push(format!(
                    "{NVIDIA} is here, but no ICD file of NVIDIA's driver: a container gets it with \
                     NVIDIA_DRIVER_CAPABILITIES=graphics,compute,utility (docs/gpu.md)"
                ));
            }
            told
        }

        /// The ICD files that the loader reads, and what is wrong with their places.
        fn manifests(&self) -> (Vec<PathBuf>, Vec<String>) {
            let text = |name: &str| (self.variable)(name).filter(|text| !text.is_empty());
            let paths = |name: &str| text(name).map(|text| env::split_paths(&text).collect::<Vec<PathBuf>>());
            let (mut found, mut told) = (Vec::new(), Vec::new());
            let mut add = |name: &str, paths: Vec<PathBuf>| {
                for path in paths {
                    if path.is_dir() {
                        found.extend(in_directory(&path));
                    } else if path.is_file() {
                        found.push(path);
                    } else {
                        told.push(format!("{name} names {}, which does not exist", path.display()));
                    }
                }
            };
            // The newer name wins over the older one, and either over all directories, an empty one too.
            let named =
                ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"].into_iter().find(|name| (self.variable)(name).is_some());
            if let Some(name) = named {
                match paths(name) {
                    Some(paths) => add(name, paths),
                    None => told.push(format!("{name} is set and empty, so that no driver is looked for; unset it")),
                }
                return (found, told);
            }
            if let Some(paths) = paths("VK_ADD_DRIVER_FILES") {
                add("VK_ADD_DRIVER_FILES", paths);
            }
            let directories = self.directories();
            found.extend(directories.iter().flat_map(|directory| in_directory(directory)));
            if found.is_empty() {
                let places: Vec<String> = directories.iter().map(|place| place.display().to_string()).collect();
                told.push(format!("no driver for Vulkan: no ICD file in {}", places.join(", ")));
            }
            (found, told)
        }

        fn directories(&self) -> Vec<PathBuf> {
            let text = |name: &str| (self.variable)(name).filter(|text| !text.is_empty());
            let home = |rest: &str| text("HOME").map(|home| PathBuf::from(home).join(rest));
            let list = |name: &str, usual: &str| {
                let text = text(name).unwrap_or_else(|| usual.into());
                env::split_paths(&text).collect::<Vec<PathBuf>>()
            };
            let own = |name: &str, rest: &str| text(name).map(PathBuf::from).or_else(|| home(rest));
            let mut all: Vec<PathBuf> = own("XDG_CONFIG_HOME", ".config").into_iter().collect();
            all.extend(list("XDG_CONFIG_DIRS", "/etc/xdg"));
            all.extend(["/usr/local/etc", "/etc"].map(PathBuf::from));
            all.extend(own("XDG_DATA_HOME", ".local/share"));
            all.extend(list("XDG_DATA_DIRS", "/usr/local/share:/usr/share"));
            all.iter().map(|directory| directory.join(MANIFESTS)).collect()
        }

        /// What is wrong with an ICD file or its library.
        fn hindered(&self, file: &Path) -> Option<String> {
            let shown = file.display();
            let manifest: Value = match fs::read(file).map_err(|error| error.to_string()) {
                Err(why) => return Some(format!("the ICD file {shown} cannot be read: {why}")),
                Ok(bytes) => match serde_json::from_slice(&bytes) {
                    Err(why) => {
                        return Some(format!(
                            "the ICD file {shown} cannot be parsed ({why}), which can hide the drivers of all others: mend it or \
                             move it away"
                        ));
                    }
                    Ok(manifest) => manifest,
                },
            };
            let Some(library) = manifest.pointer("/ICD/library_path").and_then(Value::as_str) else {
                return Some(format!("the ICD file {shown} names no library (ICD.library_path)"));
            };
            // A bare name is searched for; a path begins at the file.
            let place = match (library.contains('/'), file.parent()) {
                (true, Some(folder)) => folder.join(library).into_os_string(),
                _ => library.into(),
            };
            let why = (self.drive)(&place).err()?;
            Some(format!("the ICD file {shown} names {library}, which {why}"))
        }
    }

    fn in_directory(directory: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "json")).collect()
    }

    /// Loads a library for good: the loader of Vulkan had it loaded before.
    fn load(library: &OsStr) -> Result<(), String> {
        open(library).map(std::mem::forget)
    }

    fn open(library: &OsStr) -> Result<libloading::Library, String> {
        // SAFETY: it is the Vulkan loader or a driver that it names, both of which a program that looks for adapters loads anyway.
        unsafe { libloading::Library::new(library) }.map_err(|error| error.to_string())
    }

    /// Loads a driver for good and asks it for the first function of Vulkan, as the loader does: NVIDIA's has none where a library
    /// that it loads by itself is missing, or a device.
    fn drive(library: &OsStr) -> Result<(), String> {
        type Negotiate = unsafe extern "C" fn(*mut u32) -> i32;
        type Ask = unsafe extern "C" fn(*const c_void, *const c_char) -> *const c_void;
        let driver = open(library).map_err(|why| format!("does not load: {why}"))?;
        // SAFETY: these are the names and types of a driver's two entrances (the loader's document LoaderDriverInterface).
        let offers = unsafe {
            let mut version = 5;
            let agreed = driver
                .get::<Negotiate>(b"vk_icdNegotiateLoaderICDInterfaceVersion\0")
                .map_or(true, |negotiate| negotiate(&raw mut version) >= 0);
            let ask = driver.get::<Ask>(b"vk_icdGetInstanceProcAddr\0");
            agreed && ask.is_ok_and(|ask| !ask(std::ptr::null(), c"vkCreateInstance".as_ptr()).is_null())
        };
        std::mem::forget(driver);
        match offers {
            true => Ok(()),
            false => Err("loads and offers no Vulkan, as where libEGL.so.1 or a device in /dev is missing".into()),
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::collections::HashMap;

        /// A machine whose only files are in a folder, and whose libraries load but for those called broken.
        fn told(variables: &[(&str, &Path)], broken: &str, has_nvidia: bool) -> Vec<String> {
            let variables: HashMap<&str, OsString> =
                variables.iter().map(|(name, path)| (*name, path.as_os_str().to_owned())).collect();
            let load = |library: &OsStr| match library.to_string_lossy().contains(broken) {
                true => Err("libEGL.so.1: cannot open shared object file".into()),
                false => Ok(()),
            };
            // Variables that are not set lead nowhere, and name no files.
            let variable =
                |name: &str| variables.get(name).cloned().or((!name.starts_with("VK_")).then(|| "/nowhere".into()));
            let drive = |library: &OsStr| load(library).map_err(|why| format!("does not load: {why}"));
            Surroundings { variable: &variable, load: &load, drive: &drive, exists: &|_| has_nvidia }.obstacles()
        }

        fn manifest(folder: &Path, name: &str, text: &str) -> PathBuf {
            let directory = folder.join(MANIFESTS);
            fs::create_dir_all(&directory).unwrap();
            let file = directory.join(name);
            fs::write(&file, text).unwrap();
            file
        }

        const SOUND: &str =
            r#"{"file_format_version": "1.0.0", "ICD": {"library_path": "libsound.so", "api_version": "1.3.0"}}"#;

        #[test]
        fn every_obstacle_is_named_with_its_file_and_its_library() {
            let folder = tempfile::tempdir().unwrap();
            let here = folder.path();
            let data = [("XDG_DATA_DIRS", here)];
            let [none] = &told(&data, "nothing", false)[..] else { panic!("one cause") };
            assert!(none.contains("no ICD file in") && none.contains(&here.display().to_string()), "{none}");
            let [loader] = &told(&data, LOADER, true)[..] else { panic!("one cause") };
            assert!(loader.contains("the Vulkan loader does not load (libEGL"), "{loader}");

            manifest(here, "sound.json", SOUND);
            assert_eq!(told(&data, "nothing", false), Vec::<String>::new());
            let [nvidia] = &told(&data, "nothing", true)[..] else { panic!("one cause") };
            assert!(nvidia.contains("NVIDIA_DRIVER_CAPABILITIES=graphics"), "{nvidia}");

            let file = manifest(here, "nvidia_icd.json", &SOUND.replace("libsound.so", "libGLX_nvidia.so.0"));
            let [library] = &told(&data, "libGLX_nvidia", true)[..] else { panic!("one cause") };
            assert!(
                library.starts_with(&format!("the ICD file {} names libGLX_nvidia.so.0", file.display())),
                "{library}"
            );
            assert!(library.ends_with("does not load: libEGL.so.1: cannot open shared object file"), "{library}");

            let broken = manifest(here, "broken.json", "{ broken");
            let nameless = manifest(here, "nameless.json", r#"{"ICD": {}}"#);
            let [unparsable, without] = &told(&data, "nothing", true)[..] else { panic!("two causes") };
            assert!(unparsable.contains(&broken.display().to_string()) && unparsable.contains("hide"), "{unparsable}");
            assert!(without.contains(&nameless.display().to_string()) && without.contains("library_path"), "{without}");
        }

        #[test]
        fn a_library_that_loads_and_is_no_driver_is_told_from_one_that_does_not_load() {
            let of = |library: &str| drive(library.as_ref()).unwrap_err();
            assert!(of("libc.so.6").starts_with("loads and offers no Vulkan"), "{}", of("libc.so.6"));
            assert!(of("libnowhere.so.0").starts_with("does not load: libnowhere.so.0"), "{}", of("libnowhere.so.0"));
        }

        #[test]
        fn variables_win_over_directories_and_a_path_begins_at_its_file() {
            let folder = tempfile::tempdir().unwrap();
            let here = folder.path();
            manifest(here, "broken.json", "{ broken");
            let file = here.join("own.json");
            fs::write(&file, SOUND.replace("libsound.so", "./lib/libsound.so")).unwrap();
            let places = [("XDG_DATA_DIRS", here), ("VK_ICD_FILENAMES", &file)];
            assert_eq!(told(&places, "nothing", false), Vec::<String>::new());
            let place = here.join("./lib/libsound.so");
            assert_eq!(told(&places, place.to_str().unwrap(), false).len(), 1);
            let gone = here.join("gone.json");
            let [missing] = &told(&[("VK_DRIVER_FILES", &gone), places[1]], "nothing", false)[..] else { panic!() };
            assert!(missing.contains("VK_DRIVER_FILES names") && missing.contains("gone.json"), "{missing}");
            let nothing = Path::new("");
            let [empty] = &told(&[("VK_DRIVER_FILES", nothing), places[0]], "nothing", false)[..] else { panic!() };
            assert!(empty.starts_with("VK_DRIVER_FILES is set and empty"), "{empty}");
            let all = Path::new("*");
            let [left_out] = &told(&[("VK_LOADER_DRIVERS_DISABLE", all), places[1]], "nothing", false)[..] else {
                panic!()
            };
            assert!(left_out.starts_with("VK_LOADER_DRIVERS_DISABLE=* leaves drivers out"), "{left_out}");
        }
    }
}
