"""A repository whose targets stand for libraries that the system has installed.

Headers are on the compiler's own path, so a target carries only what pkg-config says about linking and macros.
"""

# Prints, for each module given, one line: its name, its linker flags, its compiler flags. Modules unknown here print nothing.
_QUERY = """
for module; do
  libs=$(pkg-config --libs "$module" 2>/dev/null) || continue
  printf '%s\\t%s\\t%s\\n' "$module" "$libs" "$(pkg-config --cflags "$module")"
done
"""

_LIBRARY = """
cc_library(
    name = "{name}",
    defines = {defines},
    linkopts = {linkopts},
)
"""

def _missing(rctx, what):
    fail(("\n\n@{name} is to come from the system, but {what}.\n" +
          "On Debian or Ubuntu: sudo apt-get install {package} pkg-config (./bazelw does that).\n" +
          "Elsewhere install that library, or define @{name} in WORKSPACE before kekbit_dependencies().\n").format(
        name = rctx.name,
        package = rctx.attr.debian_package,
        what = what,
    ))

def _check_header(rctx):
    directories = ["/usr/include", "/usr/local/include"]

    # Where Debian keeps the headers of libraries that differ from processor to processor.
    directories += [str(path) for path in rctx.path("/usr/include").readdir() if path.basename.endswith("-linux-gnu")]
    for directory in directories:
        if rctx.path(directory + "/" + rctx.attr.header).exists:
            return
    _missing(rctx, "<%s> is neither in /usr/include nor in /usr/local/include" % rctx.attr.header)

def _query_modules(rctx, modules):
    """Returns {module: (linker flags, compiler flags)} for those that pkg-config knows."""
    if not modules:
        return {}
    if not rctx.which("pkg-config"):
        _missing(rctx, "there is no pkg-config to ask for it")
    result = rctx.execute(["sh", "-c", _QUERY, "sh"] + modules)
    if result.return_code != 0:
        _missing(rctx, "pkg-config failed: " + result.stderr)
    found = {}
    for line in result.stdout.splitlines():
        module, libs, cflags = line.split("\t")
        found[module] = (_words(libs), _words(cflags))
    if not found:
        _missing(rctx, "pkg-config knows none of " + ", ".join(modules))
    return found

def _words(text):
    return [word for word in text.split(" ") if word]

def _library(rctx, name, recipe, found):
    """Returns the text of one cc_library, or None if a module of its recipe is not installed."""
    linkopts = []
    defines = []
    for word in _words(recipe):
        if word.startswith("-"):
            linkopts.append(word)
        elif word in found:
            libs, cflags = found[word]
            linkopts += libs
            defines += [flag[2:] for flag in cflags if flag.startswith("-D")]
            elsewhere = [flag for flag in cflags if flag.startswith("-I") and not flag.endswith("-linux-gnu")]
            if elsewhere:
                _missing(rctx, "pkg-config wants %s, which is not on the compiler's path" % " ".join(elsewhere))
        else:
            return None
    return _LIBRARY.format(name = name, defines = repr(defines), linkopts = repr(linkopts))

def _system_library_impl(rctx):
    _check_header(rctx)
    modules = {}
    for recipe in rctx.attr.targets.values():
        for word in _words(recipe):
            if not word.startswith("-"):
                modules[word] = True
    found = _query_modules(rctx, sorted(modules.keys()))

    packages = {}
    for label, recipe in rctx.attr.targets.items():
        package, name = label[len("//"):].split(":")
        library = _library(rctx, name, recipe, found)
        if library:
            packages.setdefault(package, ['package(default_visibility = ["//visibility:public"])\n']).append(library)
    for package, parts in packages.items():
        rctx.file((package + "/" if package else "") + "BUILD.bazel", "".join(parts))

system_library = repository_rule(
    implementation = _system_library_impl,
    doc = "A repository of cc_library targets without sources that link what the system has installed.",
    attrs = {
        "debian_package": attr.string(mandatory = True, doc = "The package to name when the library is missing."),
        "header": attr.string(mandatory = True, doc = "A header that tells whether the library is installed."),
        "targets": attr.string_dict(mandatory = True, doc = "Label (//package:name) to recipe: words that are pkg-config " +
                                                            "modules, or linker flags if they begin with '-'; none for " +
                                                            "headers only. A target is left out if a module is unknown."),
    },
    environ = ["PKG_CONFIG_PATH"],
    local = True,
    configure = True,
)
