# Interactive shells of `tare toolbox`.
[ -z "$PS1" ] && return
shopt -s checkwinsize histappend
PS1='toolbox@\h:\w\$ '
# Completions are read when Tab is first pressed after a command: most sessions do without.
_completions() {
    unset -f _completions
    . /usr/share/bash-completion/bash_completion
    _comp_complete_load "$@"
}
complete -D -o bashdefault -o default -F _completions
alias ls='ls --color=auto' grep='grep --color=auto' ll='ls -l'
