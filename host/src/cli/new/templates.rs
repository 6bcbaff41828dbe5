//! The files of each language, as they stand in `guest-sdk/`.

use super::{File, Lang, Template};

/// `"where it goes" = "where it is, below guest-sdk/"`.
macro_rules! files {
    ($($path:literal = $from:literal),* $(,)?) => {
        &[$(File {
            path: $path,
            text: include_str!(concat!("../../../../guest-sdk/", $from)),
        }),*]
    };
}

impl Lang {
    pub(super) fn template(self) -> &'static Template {
        match self {
            Lang::Rust => &RUST,
            Lang::C => &C,
            Lang::Zig => &ZIG,
            Lang::Go => &GO,
            Lang::AssemblyScript => &ASSEMBLYSCRIPT,
            Lang::Python => &PYTHON,
            Lang::JavaScript => &JAVASCRIPT,
            Lang::TypeScript => &TYPESCRIPT,
        }
    }
}

static RUST: Template = Template {
    language: "Rust",
    needs: &["cargo"],
    project: files! {
        "README.md" = "rust/template/README.md",
        ".gitignore" = "rust/template/gitignore",
        ".cargo/config.toml" = "rust/template/cargo/config.toml",
        "Cargo.toml" = "rust/template/Cargo.toml",
        "src/lib.rs" = "rust/template/src/lib.rs",
    },
    sdk: files! {
        "Cargo.toml" = "rust/Cargo.toml",
        "README.md" = "rust/README.md",
        "wit/handler.wit" = "rust/wit/handler.wit",
        "src/error.rs" = "rust/src/error.rs",
        "src/export.rs" = "rust/src/export.rs",
        "src/handler.rs" = "rust/src/handler.rs",
        "src/in_memory.rs" = "rust/src/in_memory.rs",
        "src/lib.rs" = "rust/src/lib.rs",
        "src/request.rs" = "rust/src/request.rs",
        "src/rfile.rs" = "rust/src/rfile.rs",
        "src/sys.rs" = "rust/src/sys.rs",
        "src/sys/component.rs" = "rust/src/sys/component.rs",
        "src/sys/memory.rs" = "rust/src/sys/memory.rs",
        "src/sys/module.rs" = "rust/src/sys/module.rs",
        "src/test.rs" = "rust/src/test.rs",
        "src/wfile.rs" = "rust/src/wfile.rs",
    },
};

static C: Template = Template {
    language: "C",
    needs: &["make", "zig"],
    project: files! {
        "README.md" = "c/template/README.md",
        ".gitignore" = "c/template/gitignore",
        "Makefile" = "c/template/Makefile",
        "src/handler.c" = "c/template/src/handler.c",
        "tests/handler_test.c" = "c/template/tests/handler_test.c",
    },
    sdk: files! {
        "sandsock.h" = "c/sandsock.h",
    },
};

static ZIG: Template = Template {
    language: "Zig",
    needs: &["zig"],
    project: files! {
        "README.md" = "zig/template/README.md",
        ".gitignore" = "zig/template/gitignore",
        "build.zig" = "zig/template/build.zig",
        "src/handler.zig" = "zig/template/src/handler.zig",
    },
    sdk: files! {
        "main.zig" = "zig/main.zig",
        "module.zig" = "zig/module.zig",
        "sandsock.zig" = "zig/sandsock.zig",
        "testing.zig" = "zig/testing.zig",
    },
};

static GO: Template = Template {
    language: "Go",
    needs: &["go"],
    project: files! {
        "README.md" = "go/template/README.md",
        ".gitignore" = "go/template/gitignore",
        "go.mod" = "go/template/go.mod",
        "main.go" = "go/template/main.go",
        "main_test.go" = "go/template/main_test.go",
    },
    sdk: files! {
        "host_memory.go" = "go/host_memory.go",
        "host_wasip1.go" = "go/host_wasip1.go",
        "request.go" = "go/request.go",
        "sandsock.go" = "go/sandsock.go",
        "snapshot_none.go" = "go/snapshot_none.go",
        "snapshot_wasip1.go" = "go/snapshot_wasip1.go",
        "stream.go" = "go/stream.go",
    },
};

static ASSEMBLYSCRIPT: Template = Template {
    language: "AssemblyScript",
    needs: &["node", "npm"],
    project: files! {
        "README.md" = "assemblyscript/template/README.md",
        ".gitignore" = "assemblyscript/template/gitignore",
        "asconfig.json" = "assemblyscript/template/asconfig.json",
        "assembly/index.ts" = "assemblyscript/template/assembly/index.ts",
        "assembly/tsconfig.json" = "assemblyscript/template/assembly/tsconfig.json",
        "package.json" = "assemblyscript/template/package.json",
        "tests/index.test.mjs" = "assemblyscript/template/tests/index.test.mjs",
    },
    sdk: files! {
        "errors.ts" = "assemblyscript/errors.ts",
        "globals.ts" = "assemblyscript/globals.ts",
        "host.ts" = "assemblyscript/host.ts",
        "index.ts" = "assemblyscript/index.ts",
        "request.ts" = "assemblyscript/request.ts",
        "rfile.ts" = "assemblyscript/rfile.ts",
        "testing.mjs" = "assemblyscript/testing.mjs",
        "utf8.ts" = "assemblyscript/utf8.ts",
        "wfile.ts" = "assemblyscript/wfile.ts",
    },
};

static PYTHON: Template = Template {
    language: "Python",
    needs: &["python3", "componentize-py"],
    project: files! {
        "README.md" = "python/template/README.md",
        ".gitignore" = "python/template/gitignore",
        "handler.py" = "python/template/handler.py",
        "test_handler.py" = "python/template/test_handler.py",
    },
    sdk: files! {
        "__init__.py" = "python/sandsock/__init__.py",
        "component.py" = "python/sandsock/component.py",
        "connection.py" = "python/sandsock/connection.py",
        "handler.py" = "python/sandsock/handler.py",
        "steps.py" = "python/sandsock/steps.py",
        "testing.py" = "python/sandsock/testing.py",
        "wit/handler.wit" = "../wit/handler.wit",
    },
};

static JAVASCRIPT: Template = Template {
    language: "JavaScript",
    needs: &["node", "npm"],
    project: files! {
        "README.md" = "javascript/template/README.md",
        ".gitignore" = "javascript/template/gitignore",
        "package.json" = "javascript/template/package.json",
        "src/handler.js" = "javascript/template/src/handler.js",
        "test/handler.test.js" = "javascript/template/test/handler.test.js",
    },
    sdk: JAVASCRIPT_SDK,
};

static TYPESCRIPT: Template = Template {
    language: "TypeScript",
    needs: &["node", "npm"],
    project: files! {
        "README.md" = "javascript/template-typescript/README.md",
        ".gitignore" = "javascript/template-typescript/gitignore",
        "package.json" = "javascript/template-typescript/package.json",
        "src/handler.ts" = "javascript/template-typescript/src/handler.ts",
        "test/handler.test.ts" = "javascript/template-typescript/test/handler.test.ts",
        "tsconfig.json" = "javascript/template-typescript/tsconfig.json",
    },
    sdk: JAVASCRIPT_SDK,
};

const JAVASCRIPT_SDK: &[File] = files! {
    "build.js" = "javascript/build.js",
    "component.js" = "javascript/component.js",
    "handler.wit" = "../wit/handler.wit",
    "sandsock.d.ts" = "javascript/sandsock.d.ts",
    "sandsock.js" = "javascript/sandsock.js",
    "testing.d.ts" = "javascript/testing.d.ts",
    "testing.js" = "javascript/testing.js",
};
