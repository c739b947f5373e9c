# Prints the hosts that ssh knows by name: from its configuration, and from known_hosts where they are not hashed.
_blocksync_hosts() {
  local IFS=$' \t\n' file line word
  local -a files=("$HOME/.ssh/config" /etc/ssh/ssh_config) words=() found=()
  local -i i
  # Files may include each other in a circle.
  for ((i = 0; i < ${#files[@]} && i < 64; i++)); do
    file=${files[i]}
    [[ -f $file && -r $file ]] || continue
    while read -r line || [[ -n $line ]]; do
      [[ ${line,,} =~ ^(host|include)[[:space:]=] ]] || continue
      read -r -a words <<<"${line/=/ }"
      if [[ ${words[0],,} == host ]]; then
        printf '%s\n' "${words[@]:1}"
        continue
      fi
      for word in "${words[@]:1}"; do
        case $word in
          '~/'*) word=$HOME/${word#'~/'} ;;
          /*) ;;
          *) [[ $file == /etc/ssh/* ]] && word=/etc/ssh/$word || word=$HOME/.ssh/$word ;;
        esac
        mapfile -t found < <(compgen -G "$word")
        ((${#found[@]} == 0)) || files+=("${found[@]}")
      done
    done <"$file"
  done
  for file in "$HOME/.ssh/known_hosts" /etc/ssh/ssh_known_hosts; do
    [[ -f $file && -r $file ]] || continue
    while read -r line _; do
      # A mark, a remark, or a hashed name.
      [[ $line == [@#\|]* ]] && continue
      while [[ -n $line ]]; do
        word=${line%%,*}
        line=${line#"$word"}
        line=${line#,}
        word=${word#[}
        printf '%s\n' "${word%]:*}"
      done
    done <"$file"
  done
}

# Completes a word that is no option: one of the commands in $1 where it is the first, a file, or a host. What these files
# say is compared and printed only: "compgen -W" would expand it.
_blocksync_word() {
  local colon=: word
  local -a others=()
  # bash takes user@host:path for five words, unless COMP_WORDBREAKS was changed.
  if [[ $cur == *:* || $option == : ]]; then
    # What is on a host is not asked.
    compopt +o default +o bashdefault 2>/dev/null
    return
  elif [[ $cur == @ || $option == @ ]]; then
    # For readline the mark belongs to what comes after it.
    before=@ cur=${cur#@}
  elif [[ $cur == *@* ]]; then
    before=${cur%%@*}@ cur=${cur#*@}
  else
    ((COMP_CWORD == 1)) && mapfile -t others < <(compgen -W "$1" -- "$cur")
    [[ ${COMP_WORDS[1]} == clean ]] || mapfile -t -O ${#others[@]} others < <(compgen -f -- "$cur")
  fi
  case ${COMP_WORDS[1]} in
    clean) colon='' ;;
    serve) return ;;
  esac
  while read -r word; do
    [[ $word == "$cur"* && $word != -* && $word != *[!A-Za-z0-9._-]* ]] && COMPREPLY+=("$before$word$colon")
  done < <(_blocksync_hosts | sort -u)
  if ((${#COMPREPLY[@]} == 0 && COMP_CWORD > 1)); then
    # Files alone are readline's business.
    return
  elif ((${#others[@]} > 0)); then
    compopt -o filenames 2>/dev/null
    COMPREPLY=("${others[@]}" ${COMPREPLY[@]+"${COMPREPLY[@]}"})
  elif [[ -n $colon ]]; then
    compopt -o nospace 2>/dev/null
  fi
}
