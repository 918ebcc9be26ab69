# Interactive shells, at the console and by ssh.
[ -z "$PS1" ] && return
shopt -s checkwinsize histappend
PS1='\u@\h:\w\$ '
alias ls='ls --color=auto' grep='grep --color=auto' ll='ls -l'
