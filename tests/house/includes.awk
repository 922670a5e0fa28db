# Reads C files and prints every include that is not in the table below.
# Arguments: the files, relative to the root, which is also the current folder.

BEGIN {
    # What a top folder may include: folders, and headers by name. Nothing points back up.
    allowed["nn"] = "nn/ autograd/ lucid/"
    allowed["autograd"] = "autograd/ lucid/"
    allowed["lucid"] = "lucid/"
    allowed["backends"] = "backends/ lucid/core/attrs.h lucid/core/backend.h lucid/core/backend_priv.h lucid/core/dtype.h"
    allowed["backends"] = allowed["backends"] " lucid/core/error_priv.h lucid/core/keep.h lucid/core/lock_priv.h"
    allowed["backends"] = allowed["backends"] " lucid/core/memory_priv.h lucid/core/ops.def lucid/core/plugin.h"
    allowed["backends"] = allowed["backends"] " lucid/core/platform_priv.h lucid/core/switches.h"
    allowed["backends"] = allowed["backends"] " lucid/core/threads_priv.h"
    # Inside autograd: the graph, then one application, then operators, then the engine. The names of
    # operators (op_table_priv.h) and the public headers of autograd are below all of them.
    base = "lucid/ autograd/autocast.h autograd/autograd.h autograd/op.h autograd/op_table_priv.h"
    layer["autograd/graph"] = base " autograd/graph/"
    layer["autograd/dispatch"] = layer["autograd/graph"] " autograd/dispatch/"
    layer["autograd/ops"] = layer["autograd/dispatch"] " autograd/ops/"
    layer["autograd/engine"] = layer["autograd/ops"] " autograd/engine/"
    # The headers that include everything for programs.
    allowed_file["lucid/lucid.h"] = "lucid/ autograd/ nn/"
    allowed_file["lucid/extend.h"] = "lucid/ autograd/"
    # The build makes these.
    made["lucid/plugin_version.h"] = 1
    made["backends/cpu/built_levels.h"] = 1
    ours = "^(lucid|autograd|nn|backends)/"
}

function exists(path,    line, there) {
    there = (getline line < path) >= 0
    close(path)
    return there
}

function folder(path) {
    sub(/[^\/]*$/, "", path)
    return path
}

# A path without "..": lucid/data/../api.h is lucid/core/api.h.
function resolved(path) {
    while (sub(/[^\/.]+\/\.\.\//, "", path)) continue
    return path
}

function may(list, target,    i, n, prefixes) {
    n = split(list, prefixes, " ")
    for (i = 1; i <= n; i++)
        if (prefixes[i] ~ /\/$/ ? index(target, prefixes[i]) == 1 : target == prefixes[i]) return 1
    return 0
}

/^[ \t]*#[ \t]*include[ \t]*["<]/ {
    written = $0
    sub(/^[ \t]*#[ \t]*include[ \t]*/, "", written)
    quoted = substr(written, 1, 1) == "\""
    target = substr(written, 2)
    sub(/[">].*$/, "", target)

    public = FILENAME ~ /\.h$/ && FILENAME !~ /_priv\.h$/ && FILENAME !~ /^backends\//
    relative = quoted && exists(folder(FILENAME) target)
    # A public header finds others whatever a program's own include path holds.
    if (public && !relative && (quoted || target ~ ours)) {
        print FILENAME ":" FNR ": includes " target "; a public header writes the path from itself"
        next
    }
    if (public) target = resolved(folder(FILENAME) target)
    else if (relative) target = folder(FILENAME) target
    else if (target !~ ours && !quoted) next
    else if (!(target in made) && !exists(target)) {
        print FILENAME ":" FNR ": includes " target ", which does not exist"
        next
    }
    if (target ~ /\.\./) {
        print FILENAME ":" FNR ": includes " target "; write the path from the root"
        next
    }
    top = FILENAME
    sub(/\/.*$/, "", top)
    inner = FILENAME
    sub(/\/[^\/]*$/, "", inner)
    list = FILENAME in allowed_file ? allowed_file[FILENAME] : inner in layer ? layer[inner] : allowed[top]
    if (!may(list, target))
        print FILENAME ":" FNR ": includes " target "; may only include " list
    if (public && target ~ /_priv\.h$/)
        print FILENAME ":" FNR ": a public header includes the private " target
}
