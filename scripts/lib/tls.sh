# Certificates for scripts/stack: $STACK_DIR/tls, made once, with openssl.
# shellcheck shell=bash

# certificates makes an authority, a certificate for 127.0.0.1, one for a client, one that has expired, and an
# authority that signed none of them.
certificates() {
  local dir=$STACK_DIR/tls
  [[ -e $dir/done ]] && return 0
  rm -rf "$dir"
  mkdir -p "$dir"
  sign_certificates "$dir" >"$dir/log" 2>&1 || die_with_log "making certificates failed" "$dir/log"
  touch "$dir/done"
}

sign_certificates() {
  local dir=$1 name days
  for name in ca other-ca; do
    openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj "/CN=$name" -keyout "$dir/$name.key" -out "$dir/$name.pem" || return
  done
  for name in server client expired; do
    days=3650
    [[ $name == expired ]] && days=-1
    openssl req -newkey rsa:2048 -nodes -subj "/CN=$name" -keyout "$dir/$name.key" -out "$dir/$name.csr" || return
    openssl x509 -req -in "$dir/$name.csr" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -CAcreateserial -days "$days" \
      -extfile <(echo subjectAltName=IP:127.0.0.1,DNS:localhost) -out "$dir/$name.pem" || return
    cat "$dir/$name.key" "$dir/$name.pem" "$dir/ca.pem" >"$dir/$name.chain.pem"
  done
}

# server_certificate HOME USER copies certificate and key of 127.0.0.1 into HOME, for USER alone.
server_certificate() {
  local home=$1 user=$2 file
  certificates
  for file in server.pem server.key; do
    install -m 600 "$STACK_DIR/tls/$file" "$home/$file"
    if ((EUID == 0)); then
      chown "$user:" "$home/$file"
    fi
  done
}
