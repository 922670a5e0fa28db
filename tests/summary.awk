# Reads Meson's log of a test run (meson-logs/testlog.json: one JSON object a line, a program each) and
# prints every skipped test with its reason, every program that failed as a whole with what is wrong,
# and last "passed failed skipped". A result is a line of TAP ("ok", "not ok"); a program without TAP
# is one test. Criterion lists what its --filter leaves out as "SKIP test was skipped": not counted.

# The JSON string of a key, without its quotes; keys and values of the log stand in this order.
function string_of(key,    begin) {
    begin = index($0, "\"" key "\": \"")
    if (!begin) return ""
    begin = substr($0, begin + length(key) + 5)
    match(begin, /^([^"\\]|\\.)*/)
    return substr(begin, 1, RLENGTH)
}

{
    name = string_of("name")
    result = string_of("result")
    text = string_of("stdout")
    gsub(/\\t/, " ", text)
    gsub(/\\"/, "\"", text)
    n = split(text, line, /\\n/)
    p = f = s = left_out = 0
    for (i = 1; i <= n; i++) {
        if (line[i] ~ /^ok .*# SKIP test was skipped/) left_out++
        else if (line[i] ~ /^ok .*# SKIP/) {
            s++
            test = reason = line[i]
            sub(/^ok [-0-9 ]*/, "", test)
            sub(/ *# SKIP.*/, "", test)
            sub(/.*# SKIP */, "", reason)
            print "skip  " name ": " test ": " reason
        } else if (line[i] ~ /^ok /) p++
        else if (line[i] ~ /^not ok /) f++
    }
    if (p + f + s + left_out == 0) {
        if (result == "OK") p = 1
        else if (result == "SKIP") s = 1
    }
    if (f == 0 && result != "OK" && result != "SKIP") {
        f = 1
        if (result == "TIMEOUT") print "FAIL  " name ": stopped after its time limit"
        else print "FAIL  " name ": failed as a whole, with status " status_of()
    }
    passed += p
    failed += f
    skipped += s
}

function status_of(    rest) {
    match($0, /"returncode": -?[0-9]+/)
    rest = substr($0, RSTART, RLENGTH)
    sub(/.*: /, "", rest)
    return rest
}

END { print passed + 0, failed + 0, skipped + 0 }
