# Prints the code block that follows the line <!-- example: NAME -->; NAME is given as -v want=NAME.
/^<!-- example: / { name = $3; next }
/^```/ && inside { exit }
/^```/ && name == want { inside = 1; found = 1; next }
/^```/ { name = "" }
inside { print }
END {
  if (!found) {
    print "no code block named " want > "/dev/stderr"
    exit 1
  }
}
