#!/bin/sh
# A mapserver for tests: notes where it runs and what it is asked, and answers a picture, or words about a point.
echo "mapserv in $PWD asked $QUERY_STRING" >> asked.txt
case "$QUERY_STRING" in
*GetFeatureInfo*) printf 'Content-Type: text/plain\r\n\r\nmapserv tells\n' ;;
*) printf 'Content-Type: image/png\r\n\r\n' && cat "${0%/*}/picture.png" ;;
esac
