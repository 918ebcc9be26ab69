# sshd has many for itself; programs that close all they may have open would take seconds.
ulimit -Sn 1024
# Interactive shells, at the console and by ssh.
[ -z "$PS1" ] && return
shopt -s checkwinsize histappend
PS1='\u@\h:\w\$ '
[ -r /usr/share/bash-completion/completions/tare ] && . /usr/share/bash-completion/completions/tare
alias man=mman
alias ls='ls --color=auto' grep='grep --color=auto' ll='ls -l'
