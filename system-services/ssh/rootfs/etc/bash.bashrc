# sshd has many for itself; programs that close all they may have open would take seconds.
ulimit -Sn 1024
# Interactive shells, at the console and by ssh.
[ -z "$PS1" ] && return
shopt -s checkwinsize histappend
PS1='\u@\h:\w\$ '
# Completions are read when Tab is first pressed after a command: most sessions do without.
_completions() {
    unset -f _completions
    . /usr/share/bash-completion/bash_completion
    _comp_complete_load "$@"
}
complete -D -o bashdefault -o default -F _completions
# What people miss here is often there.
command_not_found_handle() {
    echo "$1: command not found. If it is a tool for looking into the machine: tare toolbox $1" >&2
    return 127
}
alias man=mman
alias ls='ls --color=auto' grep='grep --color=auto' ll='ls -l'
