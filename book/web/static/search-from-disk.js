// A page opened from disk may not read other files, so the results' summaries, which Sphinx's search
// takes from the pages found, are left out there. The index itself is a script, and loads.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
