# Reads the public headers as one line and writes a C function for every exported function that
# takes a tensor: it calls that with tensors that have ended, all of them or one after the other.

# The argument to pass; `tensor` tells whether it is one that may have ended.
function argument(type, name,    i) {
    tensor = 1
    i = tensors
    if (type ~ /^(const )?lucid_tensor \*$/) return "t[" i "]"
    if (type == "lucid_tensor *const *") return "((lucid_tensor *const[]){t[" i "], t[" i "]})"
    tensor = 0
    if (type == "double") return "0.5"
    if (type == "int" || type == "bool") return name ~ /^n(_|$)/ ? "1" : "0"
    if (type ~ /^(u?int64_t|size_t|lucid_extent)$/) return "1"
    if (type == "lucid_shape") return "LUCID_SHAPE(4)"
    if (type == "lucid_memory_format") return "LUCID_CONTIGUOUS"
    if (type == "lucid_dtype") return "LUCID_F64"
    if (type == "lucid_matrix_norm_kind") return "LUCID_NORM_FRO"
    if (type == "lucid_box_format") return "LUCID_BOX_XYXY"
    if (type == "lucid_scatter_how") return "LUCID_SCATTER_SUM"
    if (type == "lucid_device") return "lucid_cpu()"
    if (type == "lucid_check_fn") return "check_fn"
    if (type == "lucid_tensor_hook") return "hook"
    if (name == "data") return "memory"
    if (type ~ /_options \*$/ || type ~ /^(const )?void \*$/) return "NULL"
    if (type == "const char *") return name == "path" ? "path" : "\"n\""
    if (type == "const char *const *") return "names"
    if (type == "FILE *") return "nowhere"
    if (type == "const lucid_op *") return "lucid_op_find(\"relu\")"
    if (type == "lucid_tensor **") return "out"
    if (type ~ /^(const )?(double|int64_t) \*$/) return "(void *)memory"
    if (type ~ /^(const )?lucid_(transform|generator) \*$/) return "a_" name
    if (type == "lucid_module_totals *") return "(&totals)"
    if (type ~ /^lucid_(module|optimizer|state_dict|grad_scaler|confusion|tensorboard|report) \*$/) return "a_" name
    unknown = unknown "#error \"" function_name ": no argument for '" type "'\"\n"
    return "0"
}

{
    n = split($0, declarations, ";")
    for (d = 1; d <= n; d++) {
        text = declarations[d]
        if (text !~ /LUCID_API/ || text ~ /LUCID_API extern/) continue
        if (text !~ /lucid_tensor \*/ || text !~ /\(/) continue
        sub(/.*LUCID_API/, "", text)
        head = text
        sub(/\(.*/, "", head)
        function_name = head
        sub(/.*[ *]/, "", function_name)
        if (text ~ /lucid_vjp \*/) continue # inside of a vjp only
        sub(/^[^(]*\(/, "", text)
        sub(/\)[^)]*$/, "", text)
        count = split(text, parameters, ",")
        tensors = 0
        call = unknown = ""
        for (i = 1; i <= count; i++) {
            type = parameters[i]
            gsub(/^ +| +$/, "", type)
            name = type
            sub(/.*[ *]/, "", name)
            sub(/[A-Za-z_0-9]+$/, "", type)
            gsub(/ +$/, "", type)
            call = call (i > 1 ? ", " : "") argument(type, name)
            tensors += tensor
        }
        if (!tensors) continue
        printf "%s", unknown
        print "static void use_" function_name "(lucid_tensor **t)"
        print "{"
        print "    (void)(" function_name ")(" call ");"
        print "}"
        row[++rows] = "    {\"" function_name "\", use_" function_name ", " tensors "},"
    }
}

END {
    print "static const struct use {"
    print "    const char *name;"
    print "    void (*call)(lucid_tensor **);"
    print "    int tensors;"
    print "} uses[] = {"
    for (i = 1; i <= rows; i++) print row[i]
    print "};"
}
