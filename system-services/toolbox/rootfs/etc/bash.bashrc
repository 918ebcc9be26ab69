# Interactive shells of `tare toolbox`.
[ -z "$PS1" ] && return
shopt -s checkwinsize histappend
PS1='toolbox@\h:\w\$ '
[ -r /usr/share/bash-completion/completions/tare ] && . /usr/share/bash-completion/completions/tare
alias ls='ls --color=auto' grep='grep --color=auto' ll='ls -l'
