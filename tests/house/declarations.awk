# Reads C files and checks what their headers declare:
#   - a function or variable is declared in one header only;
#   - a file that uses a private one (luc_...) includes the header that declares it: directly, or
#     through its own header (x.c through x.h or x_priv.h).
# Static functions are not looked at. Arguments: the files, relative to the root, which is also the
# current folder.

function folder(path) {
    sub(/[^\/]*$/, "", path)
    return path
}

# The name of a file without folder, "_priv" and ending: a file and its own headers share it.
function stem(path) {
    sub(/^.*\//, "", path)
    sub(/(_priv)?\.[a-z]+$/, "", path)
    return path
}

# An include as a path from the root: "../api.h" in lucid/io/x.h is lucid/core/api.h.
function resolved(written, from,    path) {
    if (written in is_file) return written
    path = folder(from) written
    while (sub(/[^\/.]+\/\.\.\//, "", path)) continue
    return path
}

# The text of the current file, without comments, strings and the preprocessor's lines.
function add_code(line,    start, end, left) {
    left = line
    line = ""
    while (left != "") {
        if (in_comment) {
            end = index(left, "*/")
            if (!end) return line
            left = substr(left, end + 2)
            in_comment = 0
        }
        start = match(left, /\/[*\/]|"(\\.|[^"\\])*"/)
        if (!start) return line left
        line = line substr(left, 1, start - 1) " "
        if (substr(left, start, 2) == "//") return line
        in_comment = substr(left, start, 2) == "/*"
        left = substr(left, start + (in_comment ? 2 : RLENGTH))
    }
    return line
}

# Notes what a statement outside of all braces declares.
function declare(statement,    name) {
    gsub(/LUCID_(BEGIN|END)_DECLS/, "", statement)
    gsub(/[ \t]+/, " ", statement)
    if (statement ~ /(^|[ )])(typedef|static|LUC_INLINE) /) return
    if (match(statement, /(^|[^A-Za-z0-9_])(luc|lucid)_[A-Za-z0-9_]* ?\(/)) {
        name = substr(statement, RSTART, RLENGTH - 1)
    } else if (statement ~ /(^|[^A-Za-z0-9_])extern /) {
        sub(/ ?\[.*$/, "", statement)
        if (!match(statement, /[A-Za-z0-9_]+ ?$/)) return
        name = substr(statement, RSTART)
    } else {
        return
    }
    gsub(/[^A-Za-z0-9_]/, "", name)
    if (name == "extern") return # of a block: extern "C++" {
    if (name in declared_in && declared_in[name] != FILENAME)
        print FILENAME ": declares " name ", as " declared_in[name] " does"
    else
        declared_in[name] = FILENAME
}

# Reads a header's code: statements end with ";" or with the "}" of a body.
function declare_all(code,    c, at) {
    while ((at = match(code, /[;{}]/))) {
        c = substr(code, at, 1)
        if (depth == 0) pending = pending " " substr(code, 1, at - 1)
        if (c == "{") depth++
        if (c == "}") depth--
        if (c != "{" && depth == 0) {
            declare(pending)
            pending = ""
        }
        code = substr(code, at + 1)
    }
    if (depth == 0) pending = pending " " code
}

BEGIN {
    for (i = 1; i < ARGC; i++) is_file[ARGV[i]] = 1
}

FNR == 1 {
    in_comment = directive = depth = 0
    pending = ""
    header = FILENAME ~ /\.h$/
}

/^[ \t]*#/ && !in_comment {
    directive = 1
    if ($0 ~ /#[ \t]*include[ \t]*["<]/) {
        written = $0
        sub(/^[^"<]*["<]/, "", written)
        sub(/[">].*$/, "", written)
        includes[FILENAME] = includes[FILENAME] " " resolved(written, FILENAME)
    }
}

{
    code = add_code($0)
    left = code
    while (match(left, /[A-Za-z0-9_]+/)) {
        word = substr(left, RSTART, RLENGTH)
        if (word ~ /^luc_/ && !((FILENAME, word) in used)) {
            used[FILENAME, word] = FNR
            uses[FILENAME] = uses[FILENAME] " " word
        }
        left = substr(left, RSTART + RLENGTH)
    }
    if (header && !directive) declare_all(code)
    if ($0 !~ /\\$/) directive = 0
}

function reach(file, from,    list, n, i) {
    n = split(includes[from], list, " ")
    for (i = 1; i <= n; i++) {
        if ((file, list[i]) in reached) continue
        reached[file, list[i]] = 1
        if (stem(list[i]) == stem(file)) reach(file, list[i])
    }
}

END {
    for (file in uses) {
        if (file ~ /_tmpl\.h$/) continue # a part of the files that include it
        reached[file, file] = 1
        reach(file, file)
        n = split(uses[file], words, " ")
        for (i = 1; i <= n; i++) {
            if (!(words[i] in declared_in)) continue
            if ((file, declared_in[words[i]]) in reached) continue
            print file ":" used[file, words[i]] ": uses " words[i] " without including " \
                declared_in[words[i]]
        }
    }
}
