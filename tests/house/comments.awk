# Prints the words of comments, "FILE:LINE: TEXT". Of pages (*.md) it prints the text outside of
# blocks of code; of scripts and meson.build the lines that begin with #.
FNR == 1 {
    inside = fenced = 0
    page = FILENAME ~ /\.md$/
    script = FILENAME ~ /(\.sh|meson\.build)$/
}
page {
    if (/^ *```/) fenced = !fenced
    else if (!fenced) print FILENAME ":" FNR ": " $0
    next
}
script {
    if (/^ *#/) print FILENAME ":" FNR ": " $0
    next
}
{
    left = $0
    text = ""
    while (left != "") {
        if (inside) {
            end = index(left, "*/")
            text = text " " (end ? substr(left, 1, end - 1) : left)
            left = end ? substr(left, end + 2) : ""
            inside = !end
        } else {
            start = index(left, "/*")
            line = index(left, "//")
            if (line && (!start || line < start)) {
                if (substr(left, 1, line) !~ /":?\/?$/ && substr(left, line - 1, 1) != ":")
                    text = text " " substr(left, line + 2)
                break
            }
            if (!start) break
            left = substr(left, start + 2)
            inside = 1
        }
    }
    if (text != "") print FILENAME ":" FNR ": " text
}
