#!/usr/bin/env bash
# Takes new plugins from nothing to green cases, as an author does: `sigpersist plugin new`, make, make test, make cases, in a folder
# outside of this repository. Then breaks them, and looks for the message of what broke.
#   usage: plugins/templates/test.sh [LANGUAGE …]
# Prints a sentence for each language whose tools are missing here. SIGPERSIST is the program, or target/release, or target/debug.
# SIGPERSIST_WASM_BUILD is as in plugins/build.sh; what it builds must be a component.
set -euo pipefail
sigpersist=${SIGPERSIST:+$(realpath "$SIGPERSIST")}
cd "$(dirname "$0")"
for built in ../../target/release/sigpersist ../../target/debug/sigpersist; do
  [ -n "$sigpersist" ] || [ ! -x "$built" ] || sigpersist=$(realpath "$built")
done
[ $# -gt 0 ] || set -- rust c js python
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
# In an unoptimized build of Sigpersist, its compiler is slow, and the largest components take many times as long.
export SIGPERSIST=$sigpersist SIGPERSIST_HOOKS_MAX_COMPILE_CPU_MS=${SIGPERSIST_HOOKS_MAX_COMPILE_CPU_MS:-300000}
# One environment for all three plugins of a language.
export CARGO_TARGET_DIR=$folder/target

missing() { # LANGUAGE
  case $1 in
    rust)
      command -v cargo >/dev/null || echo cargo
      [ -n "${SIGPERSIST_WASM_BUILD:-}" ] ||
        ls "$(rustc --print sysroot)"/lib/rustlib/wasm32-unknown-unknown/lib/libstd-*.rlib >/dev/null 2>&1 ||
        echo 'the target wasm32-unknown-unknown'
      ;;
    c) command -v cc >/dev/null || echo 'a C compiler' ;;
    js) command -v npm >/dev/null || echo npm ;;
    python) command -v python3 >/dev/null || echo python3 ;;
  esac
}

make_cases() { # LANGUAGE NAME
  if [ "$1" = rust ] && [ -n "${SIGPERSIST_WASM_BUILD:-}" ]; then
    make -s cases BUILD="$SIGPERSIST_WASM_BUILD ." \
      PACK="cp $CARGO_TARGET_DIR/wasm32-unknown-unknown/release/${2//-/_}.wasm $2.wasm"
  elif [ "$1" = rust ]; then
    env -u CARGO_TARGET_DIR make -s cases
  else
    make -s cases
  fi
}

# Makes the example break in one of the ways that are usual in its language. Prints the message to look for. Fails if there are
# no more.
break_it() { # LANGUAGE NUMBER
  case $1-$2 in
    rust-1)
      sed -i 's/^    fn validate_save.*/&\n        let none: Vec<u8> = save.draft.tags.iter().map(|_| 0).collect();\n        assert!(none[3] == 0);/' src/lib.rs
      echo 'panic at src/lib.rs:[0-9]*: index out of bounds'
      ;;
    c-1)
      sed -i 's/^  struct settings settings = settings_of_hook();/&\n  stop("nothing works");/' plugin.c
      echo 'stopped at plugin.c:[0-9]*: nothing works'
      ;;
    c-2)
      sed -i 's/^  struct settings settings = settings_of_hook();/&\n  __builtin_trap();/' plugin.c
      echo 'stopped at plugin.c:[0-9]*: __builtin_trap was called'
      ;;
    js-1)
      sed -i 's/^export function judge(settings, draft) {/&\n  draft.nothing.length;/' judge.js
      echo "uncaught TypeError: cannot read property 'length' of undefined, at judge (/judge.js:[0-9]*"
      ;;
    js-2)
      sed -i 's/^export function judge(settings, draft) {/&\n  Date.now();/' judge.js
      echo 'uncaught Error: a plugin has no clock: .*, at judge (/judge.js:[0-9]*'
      ;;
    js-3)
      sed -i 's/^    return { warnings: \[\], annotations: \[\] };/    return [];/' plugin.js
      echo 'validateSave must return { warnings: \[text\], .* }, but it returned \[\]'
      ;;
    js-4)
      sed -i 's/throw rejections;/throw rejections[0];/' plugin.js
      echo 'to reject, validateSave must throw \[{ code: text, .* }\]; uncaught: '
      ;;
    python-1)
      sed -i 's/^def judge(settings, draft):/&\n    draft.nothing/' judge.py
      echo "uncaught AttributeError: 'Signature' object has no attribute 'nothing', at judge (.*judge.py:[0-9]*)"
      ;;
    *) return 1 ;;
  esac
}

for language in "$@"; do
  lacks=$(missing "$language")
  if [ -n "$lacks" ]; then
    echo "New plugins in $language are not tried here, for lack of: $lacks."
    continue
  fi
  for kind in validator tagger delete; do
    since=$SECONDS
    name=new-$language-$kind
    "$sigpersist" plugin new "$name" --lang "$language" --kind "$kind" >/dev/null
    (
      cd "$name"
      # The tools of the first one serve the others.
      for tools in node_modules .venv .zig; do
        [ ! -e "../new-$language-validator/$tools" ] || [ -e "$tools" ] || cp -a "../new-$language-validator/$tools" "$tools"
      done
      make -s test >test.log 2>&1 || { cat test.log; exit 1; }
      make_cases "$language" "$name" >cases.log 2>&1 || { cat cases.log; exit 1; }
      grep -qx '4 cases passed\.' cases.log
    )
    echo "$language, $kind: from nothing to green cases in $((SECONDS - since)) s"
  done
  (
    cd "new-$language-validator"
    # The sources as they were.
    whole=$(mktemp -d -p "$folder")
    for source in plugin.* judge.* src; do
      [ ! -e "$source" ] || cp -a "$source" "$whole"
    done
    number=1
    while says=$(break_it "$language" "$number"); do
      if make_cases "$language" "new-$language-validator" >broken.log 2>&1; then
        echo "The broken plugin in $language passed its cases."
        exit 1
      fi
      grep -q "the plugin says: failure: .*validate-save: it said: $says" broken.log || { cat broken.log; exit 1; }
      cp -r "$whole"/. .
      number=$((number + 1))
    done
  )
  echo "$language: its author reads why it broke"
done
