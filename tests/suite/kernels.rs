//! Shaders checked without a device: naga parses and validates each, and what it finds in them is compared with what
//! Rust says of them. It shows that the two sides fit, not that they compute the right thing (tests/gpu.rs).

use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, StorageAccess, TypeInner};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use tauscope::engine::gpu::device::IMMEDIATES;
use tauscope::kernels::fused::Shape;
use tauscope::kernels::matmul::{self, Epilogue};
use tauscope::kernels::perceptron::Perceptron;
use tauscope::kernels::tile::Tile;
use tauscope::kernels::{ALL, Access, Kernel, Layout, Source};
use tauscope::math::{Activation, Loss};

/// The joined text of a kernel, parsed; a failure names file and line and prints that text.
fn parse(kernel: &Kernel) -> naga::Module {
    parse_source(kernel, &kernel.source(&[]))
}

fn parse_source(kernel: &Kernel, source: &Source) -> naga::Module {
    naga::front::wgsl::parse_str(&source.text()).unwrap_or_else(|error| {
        let line = error.location(&source.text()).map_or(1, |location| location.line_number);
        panic!("{}: {}: {error}\n{}", kernel.name, source.origin(line as usize), source.listing())
    })
}

fn validate(kernel: &Kernel, source: &Source, module: &naga::Module) -> ModuleInfo {
    Validator::new(ValidationFlags::all(), Capabilities::IMMEDIATES)
        .validate(module)
        .unwrap_or_else(|error| panic!("{}", error.emit_to_string_with_path(&source.text(), kernel.name)))
}

/// The files of a folder by their names.
fn shader_files(folder: &str) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            assert_eq!(path.extension().and_then(|e| e.to_str()), Some("wgsl"), "{}", path.display());
            let name = format!("{folder}/{}", path.file_name().unwrap().to_str().unwrap());
            files.insert(name, std::fs::read_to_string(path).unwrap());
        }
    }
    files
}

#[test]
fn every_shader_is_a_kernel_and_every_kernel_a_shader() {
    let mut own = BTreeMap::new();
    let mut shared = BTreeMap::new();
    for kernel in ALL {
        let (first, rest) = kernel.files.split_first().unwrap();
        assert_eq!(first.name, format!("shaders/{}.wgsl", kernel.name));
        own.insert(first.name.into(), first.text.into());
        shared.extend(rest.iter().map(|file| (file.name.into(), file.text.into())));
    }
    assert!(!own.is_empty());
    assert_eq!(shader_files("shaders"), own);
    assert_eq!(shader_files("shaders/shared"), shared, "files that several kernels share");
}

/// A struct of both sides stands in one file; each number of an enum in none, since Rust writes it.
#[test]
fn nothing_that_shaders_share_is_typed_twice() {
    let mut homes: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for file in ALL.iter().flat_map(|kernel| kernel.files) {
        let structs = file.text.lines().filter_map(|line| line.strip_prefix("struct ")?.split_once(' '));
        structs.for_each(|(name, _)| _ = homes.entry(name.into()).or_default().insert(file.name));
    }
    // What every kernel that uses shared/tiles.wgsl describes its operands by is its own.
    let own = ["Params", "LaneOperands", "Rows", "Columns", "Inner"];
    for (name, files) in homes.iter().filter(|(name, _)| !own.contains(&name.as_str())) {
        assert_eq!(files.len(), 1, "the struct {name} stands in {files:?}");
    }
    for kernel in ALL {
        for (name, _) in kernel.codes.iter().copied().flatten() {
            let numbered = format!("const {name} ");
            let file = kernel.files.iter().find(|file| file.text.contains(&numbered));
            assert!(file.is_none(), "{}: {name} is numbered in {file:?}", kernel.name);
        }
    }
}

#[test]
fn every_shader_is_valid_with_one_entry_point_named_like_its_file() {
    for kernel in ALL {
        let module = parse(kernel);
        validate(kernel, &kernel.source(&[]), &module);
        let names: Vec<&str> = module.entry_points.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, [kernel.name]);
        let sizes = module.entry_points[0].workgroup_size_overrides;
        assert!(sizes.is_some(), "{}: a workgroup size that is Rust's to choose stands in the shader", kernel.name);
    }
}

#[test]
fn bindings_are_the_same_on_both_sides() {
    for kernel in ALL {
        let module = parse(kernel);
        let mut found = BTreeMap::new();
        for (_, variable) in module.global_variables.iter() {
            let Some(binding) = &variable.binding else { continue };
            assert_eq!(binding.group, 0, "{}", kernel.name);
            let AddressSpace::Storage { access } = variable.space else {
                panic!("{}: {:?} is no storage buffer", kernel.name, variable.name)
            };
            let access = if access == StorageAccess::LOAD { Access::Read } else { Access::ReadWrite };
            found.insert(binding.binding, (variable.name.clone().unwrap(), access));
        }
        let declared: BTreeMap<u32, (String, Access)> =
            (0..).zip(kernel.bindings.iter().map(|binding| (binding.name.into(), binding.access))).collect();
        assert_eq!(found, declared, "{}", kernel.name);
        assert_eq!(kernel.bindings[0].name, "lane_steps", "{}: idle lanes are known from binding 0", kernel.name);
    }
}

/// The types of what the two sides share, with their elements and members: the rest are the shader's own.
fn shared_types(module: &naga::Module) -> Vec<&naga::Type> {
    let shared = |space| matches!(space, AddressSpace::Storage { .. } | AddressSpace::Immediate);
    let globals = module.global_variables.iter().filter(|(_, variable)| shared(variable.space));
    let mut handles: Vec<_> = globals.map(|(_, variable)| variable.ty).collect();
    let mut types = Vec::new();
    while let Some(handle) = handles.pop() {
        types.push(&module.types[handle]);
        match &module.types[handle].inner {
            TypeInner::Array { base, .. } => handles.push(*base),
            TypeInner::Struct { members, .. } => handles.extend(members.iter().map(|member| member.ty)),
            _ => {}
        }
    }
    types
}

#[test]
fn structs_are_laid_out_the_same_on_both_sides() {
    for kernel in ALL {
        let module = parse(kernel);
        let mut layouter = naga::proc::Layouter::default();
        layouter.update(module.to_ctx()).unwrap();
        let mut found = BTreeMap::new();
        // The table of updates is read by vec4s, of which its structs are put together.
        let put_together = module.types.iter().map(|(_, ty)| ty);
        let put_together = put_together.filter(|ty| matches!(ty.name.as_deref(), Some("Update" | "UpdateStep")));
        for ty in shared_types(&module).into_iter().chain(put_together) {
            let TypeInner::Struct { members, span } = &ty.inner else { continue };
            let members: Vec<(String, usize, usize)> = members
                .iter()
                .map(|member| {
                    let size = layouter[member.ty].size as usize;
                    (member.name.clone().unwrap(), member.offset as usize, size)
                })
                .collect();
            found.insert(ty.name.clone().unwrap(), (*span as usize, members));
        }
        let declared = |layout: &Layout| {
            let members = layout.members.iter().map(|member| (member.name.into(), member.offset, member.size));
            (layout.name.to_owned(), (layout.size, members.collect()))
        };
        assert_eq!(found, kernel.structs.iter().map(declared).collect(), "{}", kernel.name);
    }
}

#[test]
fn parameters_are_immediates_that_begin_with_the_step() {
    for kernel in ALL {
        let module = parse(kernel);
        let immediates = module.global_variables.iter().filter(|(_, v)| v.space == AddressSpace::Immediate);
        let types: Vec<_> = immediates.map(|(_, v)| module.types[v.ty].name.as_deref()).collect();
        assert_eq!(types, [Some("Params")], "{}", kernel.name);
        let params = kernel.structs.last().unwrap();
        assert_eq!(params.name, "Params", "{}", kernel.name);
        assert_eq!((params.members[0].name, params.members[0].offset), ("step", 0), "{}", kernel.name);
        // What Vulkan, Metal and DirectX 12 have, so that nothing lies in a buffer there.
        assert!(kernel.immediates() <= 128, "{}: {} bytes", kernel.name, kernel.immediates());
        // Where they do not fit, a shader with its parameters in a buffer is as valid, and within the bindings that it may have.
        if kernel.immediates() > IMMEDIATES as usize {
            let source = kernel.source(&[]).with_params_bound(kernel.bindings.len());
            validate(kernel, &source, &parse_source(kernel, &source));
            let most = if kernel.name == "fused" { 10 } else { 8 };
            assert!(kernel.bindings.len() < most, "{}: {} bindings", kernel.name, kernel.bindings.len());
        }
    }
}

#[test]
fn overrides_have_the_same_names_on_both_sides() {
    for kernel in ALL {
        let module = parse(kernel);
        // Those with an initialiser are computed from the others.
        let given = module.overrides.iter().filter(|(_, constant)| constant.init.is_none());
        let found: BTreeSet<String> = given.map(|(_, constant)| constant.name.clone().unwrap()).collect();
        let constants = kernel.constants.iter().map(|(name, _)| *name);
        let declared = constants.chain(kernel.variants.iter().copied()).map(String::from).collect();
        assert_eq!(found, declared, "{}", kernel.name);
    }
}

/// The variants of a kernel that differ in their workgroups.
fn variants(kernel: &Kernel) -> Vec<Vec<(&'static str, f64)>> {
    match kernel.name {
        "fused" => {
            let model = Perceptron::new(64, &[16], 10, Activation::Tanh);
            let shape = Shape::new(&model, 64, 16 << 10, 128).unwrap();
            vec![shape.variant(Activation::Tanh, Loss::Ce).to_vec()]
        }
        "matmul" => {
            let of_tile = |tile: &Tile| matmul::variant(*tile, Epilogue::Backward, &matmul::Params::default()).to_vec();
            Tile::ALL.iter().map(of_tile).collect()
        }
        "conv" => {
            let of_tile = |tile: &Tile| {
                let kernel = [("PRODUCT", 2.0), ("KERNEL", 3.0), ("STRIDE", 2.0)];
                tile.variant().into_iter().chain(kernel).collect()
            };
            Tile::ALL.iter().map(of_tile).collect()
        }
        _ => vec![kernel.variants.iter().map(|name| (*name, 0.0)).collect()],
    }
}

/// Every Vulkan, Metal and DirectX 12 device has 128 invocations and 16 KiB of memory per workgroup.
#[test]
fn every_workgroup_fits_the_least_device() {
    for kernel in ALL {
        for variant in variants(kernel) {
            let constants = kernel.constants.iter().chain(&variant);
            let constants = constants.map(|(name, value)| ((*name).into(), *value)).collect();
            let source = kernel.source(&variant);
            let module = parse_source(kernel, &source);
            let info = validate(kernel, &source, &module);
            let (module, _) =
                naga::back::pipeline_constants::process_overrides(&module, &info, None, &constants).unwrap();
            let [x, y, z] = module.entry_points[0].workgroup_size;
            assert!(x * y * z <= 128, "{}: {x} x {y} x {z} invocations", kernel.name);
            let halves = !source.text().contains("WORKGROUP / 2u") || x.is_power_of_two();
            assert!(halves, "{}: sums over {x} invocations are folded in half", kernel.name);

            let mut layouter = naga::proc::Layouter::default();
            layouter.update(module.to_ctx()).unwrap();
            let shared = module.global_variables.iter().filter(|(_, v)| v.space == AddressSpace::WorkGroup);
            let memory: u32 = shared.map(|(_, variable)| layouter[variable.ty].size).sum();
            assert!(memory <= 16 << 10, "{}: {memory} bytes of workgroup memory", kernel.name);
        }
    }
}
