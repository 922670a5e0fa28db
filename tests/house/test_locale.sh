#!/bin/sh
# Numbers as text: a locale with a decimal comma changes what the C library writes and reads, so
# floating-point conversions go through lucid/core/format.c only (luc_snprintf, luc_strtod ...).
# shellcheck source=tests/house/tap.sh
. "$(dirname "$0")/tap.sh"

# Prints every call of the C library's own that converts a floating-point number. A call is read up
# to its semicolon; strings that are broken over lines are joined.
scan() {
    awk '
        function report() {
            if (call ~ /(^|[^A-Za-z0-9_])(strto(d|f|ld)|atof|sscanf|fscanf)[ \t]*\(/ && call !~ /"[^"%]*(%[0-9]*[dnsux][^"%]*)+"/)
                print FILENAME ":" line ": reads numbers by the rules of the locale: use luc_strtod"
            if (call ~ /(^|[^A-Za-z0-9_])v?[sfd]?n?printf[ \t]*\(/ && call ~ /%[-+ #0-9.*]*[lL]?[aefgAEFG]/)
                print FILENAME ":" line ": writes a number by the rules of the locale: use luc_snprintf"
            if (call ~ /(^|[^A-Za-z0-9_])v[sfd]?n?printf[ \t]*\(/)
                print FILENAME ":" line ": writes what its caller asks for, by the rules of the locale: use luc_vsnprintf"
        }
        FNR == 1 { call = ""; line = 1 }
        FILENAME ~ /lucid\/core\/format\.c$/ { next }
        {
            text = $0
            if (text ~ /^[ \t]*(\/?\*|\/\/)/) next
            call = call " " text
            if (text ~ /[;{}][ \t]*(\/\*.*\*\/)?[ \t]*$/) { report(); call = ""; line = FNR + 1 }
        }
    ' "$@"
}

cd "$LUCID_SOURCE" || exit 1
# shellcheck disable=SC2046 # paths without blanks
scan $(find lucid autograd nn backends -name '*.[ch]') >"$scratch/found"
expect_empty "floating-point numbers are written and read by lucid/core/format.c only" "$scratch/found"

mkdir -p "$scratch/tree"
cat >"$scratch/tree/bad.c" <<'END'
snprintf(a, 1, "%.3f", x);
fprintf(file, "%d"
        " and %-10.2e", i, x);
y = strtod(text, &end);
vsnprintf(a, 1, fmt, args);
sscanf(text, "%lf", &x);
END
cat >"$scratch/tree/good.c" <<'END'
snprintf(a, 1, "%d%%", x);
luc_snprintf(a, 1, "%.3f", x);
y = luc_strtod(text, &end);
luc_raise(code, op, "%g", x);
sscanf(text, "cuda:%4d%n", &i, &n);
END
scan "$scratch/tree/bad.c" | cut -d: -f2 >"$scratch/lines"
printf '1\n2\n4\n5\n6\n' | diff - "$scratch/lines" >"$scratch/difference"
expect_empty "every planted call is found" "$scratch/difference"
scan "$scratch/tree/good.c" >"$scratch/found"
expect_empty "allowed calls are allowed" "$scratch/found"
finish
