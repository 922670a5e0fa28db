# api.awk: calls of every exported function, written from the preprocessed public headers.
#
#     cc -E -P -I. all_headers.h | awk -v specials="$(...)" -f tests/fuzz/api.awk >api_calls.h
#
# For each LUCID_API function a `static void f_NAME(void)` that calls it with an argument A_TYPE(..)
# for each parameter (api_values.h has them by type: a type that is not known there does not compile,
# so a new function is covered or noticed), for each options struct a function that fills it, and a
# table of all. `specials` names the functions that fuzz_api.c calls in its own way.

BEGIN {
    RS = ";"
    n_special = split(specials, list, /[ \n]+/)
    for (i = 1; i <= n_special; i++) special[list[i]] = 1
}

# "const lucid_tensor *x" to its type and name, in `type` and `name`.
function split_parameter(text) {
    gsub(/^ +| +$/, "", text)
    is_array = sub(/\[[^]]*\]$/, "", text)
    name = text
    sub(/^.*[ *]/, "", name)
    type = substr(text, 1, length(text) - length(name))
    gsub(/^ +| +$/, "", type)
    if (is_array) type = type " *"
}

# An identifier for a type: "lucid_tensor *const *" is lucid_tensor_p_const_p.
function identifier(type) {
    gsub(/ *\* */, "_p_", type)
    gsub(/[ _]+/, "_", type)
    gsub(/^_|_$/, "", type)
    if (type !~ /^const_char/) sub(/^const_/, "", type)
    return type
}

function is_count(name) { return name ~ /^(n|m|n_[a-z]+|count|bytes|size|key_size)$/ }

# The argument for parameter i of a function: pointers may be replaced by NULL.
function argument(i, after_pointer,    id) {
    id = identifier(type)
    if (id ~ /_options_p$/) {
        sub(/_p$/, "", id)
        return "P(" i ", " (type ~ /^const/ ? "" : "(void *)") "o_" id "())"
    }
    if (id ~ /_p$/) return "P(" i ", A_" id "(\"" name "\"))"
    if (after_pointer && is_count(name) && type != "lucid_shape") return "A_count()"
    return "A_" id "(\"" name "\")"
}

function function_call(declaration,    head, at, result, parameters, n, list, i, call, pointers) {
    at = index(declaration, "(")
    head = substr(declaration, 1, at - 1)
    parameters = substr(declaration, at + 1)
    sub(/\)[^)]*$/, "", parameters)
    result = head
    sub(/[a-z_0-9A-Z]+ *$/, "", result)
    sub(/^.*[ *]/, "", head)
    gsub(/^ +| +$/, "", result)
    names[++n_names] = head
    if (head in special) {
        count[head] = parameters == "void" ? 0 : split(parameters, list, ",")
        return
    }
    n = parameters == "void" ? 0 : split(parameters, list, ",")
    count[head] = n
    call = head "("
    for (i = 1; i <= n; i++) {
        split_parameter(list[i])
        call = call (i > 1 ? ", " : "") argument(i, pointers)
        if (type ~ /\*/ && type !~ /^const lucid_[a-z_0-9]+_options/) pointers = 1
    }
    call = call ")"
    if (result == "lucid_tensor *") call = "keep_tensor(" call ")"
    else if (result == "lucid_image *") call = "lucid_image_free(" call ")"
    else call = "(void)" call
    calls = calls "static void f_" head "(void)\n{\n    " call ";\n}\n"
}

# "int64_t stride, stride_w" in an options struct; other pointers and structs keep their defaults.
function fill_field(declaration,    base, list, n, i, field, stars) {
    gsub(/^ +| +$/, "", declaration)
    if (declaration ~ /\(|_options / || declaration ~ /\*\*|\*const/) return
    base = declaration
    sub(/[ *]+[a-z_0-9A-Z]+(\[[^]]*\])?( *,.*)?$/, "", base)
    declaration = substr(declaration, length(base) + 1)
    n = split(declaration, list, ",")
    for (i = 1; i <= n; i++) {
        field = list[i]
        stars = gsub(/\*/, "", field)
        gsub(/ /, "", field)
        if (stars && base != "lucid_tensor") continue
        if (stars)
            body = body "    if (chance(3)) o->" field " = A_lucid_tensor_p(\"\");\n"
        else if (sub(/\[.*$/, "", field))
            body = body "    for (size_t i = 0; i < sizeof o->" field " / sizeof *o->" field \
                "; i++)\n        if (chance(3)) o->" field "[i] = A_" identifier(base) "(\"\");\n"
        else if (!(has_list && field ~ /^n_/) && base !~ /^const char/ && base !~ /^struct/)
            body = body "    if (chance(" (field == "struct_size" ? 40 : 4) ")) o->" field " = A_" \
                identifier(base) "(\"\");\n"
    }
}

function options_struct(text,    id, fields, n, list, i, defaults) {
    id = text
    sub(/^.*typedef struct /, "", id)
    sub(/ .*$/, "", id)
    fields = text
    sub(/^.*typedef struct lucid_[a-z_0-9]+_options \{/, "", fields) # inline functions may be before
    sub(/\}[^}]*$/, "", fields)
    has_list = fields ~ /\*const \*/
    n = split(fields, list, ";")
    body = ""
    for (i = 1; i <= n; i++) fill_field(list[i])
    structs[++n_structs] = id
    bodies[id] = body
}

{
    gsub(/[ \t\n]+/, " ")
    gsub(/_Bool/, "bool")
    text = text $0
    opened = gsub(/\{/, "{", text)
    closed = gsub(/\}/, "}", text)
    if (opened > closed) {
        text = text ";"
        next
    }
    if (text ~ /typedef struct lucid_[a-z_0-9]+_options \{/) options_struct(text)
    if (match(text, /static const lucid_[a-z_0-9]+_options lucid_[a-z_0-9]+_defaults/)) {
        words = substr(text, RSTART, RLENGTH)
        split(words, word, " ")
        defaults_of[word[3]] = word[4]
    }
    if (text ~ /__attribute__ *\(\(visibility\("default"\)\)\)/ && text !~ / extern /) {
        sub(/^.*visibility\("default"\)\)\) */, "", text)
        sub(/ *__attribute__ *\(\(format.*$/, "", text)
        if (text ~ /\(/) function_call(text)
    }
    text = ""
}

END {
    for (i = 1; i <= n_structs; i++) {
        id = structs[i]
        printf "static const %s *o_%s(void)\n{\n    static %s it, *o = &it;\n", id, id, id
        if (id in defaults_of) printf "    it = %s;\n", defaults_of[id]
        else print "    memset(o, 0, sizeof it);\n    it.struct_size = sizeof it;"
        print "    if (chance(4)) return NULL;\n" bodies[id] "    return o;\n}"
    }
    printf "%s", calls
    print "static const struct {\n    const char *name;\n    void (*call)(void);\n    int parameters;\n} functions[] = {"
    for (i = 1; i <= n_names; i++)
        printf "    {\"%s\", %s_%s, %d},\n", names[i], names[i] in special ? "special" : "f", names[i], \
            count[names[i]]
    print "};"
}
