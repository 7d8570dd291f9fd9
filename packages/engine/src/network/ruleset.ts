import * as names from "./names.ts";

/** Where a published service is found inside sandboxes. */
export interface ServiceAddress {
  address: string;
  port: number;
}

/** Where no policy leads: refused by the kernel before a handshake, so that a client hears at once that nobody is there. */
const nowhere = ["0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3"];

/**
 * Everything a sandbox may send: TCP, which goes to the proxy whatever its destination, and DNS, which goes to our
 * resolver. TCP is not tracked, so that one sandbox cannot fill the connection table of all; the rate of DNS is
 * bounded for the same reason. Of our own addresses only those of services are anywhere at all.
 */
export function ruleset(services: ServiceAddress[]): string {
  const elements = services.map(({ address, port }) => `${address} . ${port}`);
  const own = `${names.ownNetwork.address}/${names.ownNetwork.prefix}`;
  return `
table inet holdfast
delete table inet holdfast
table inet holdfast {
  set resolving { type ifname; size 65535; flags dynamic; }
  set services { type ipv4_addr . inet_service;
    elements = { ${[`${names.routerAddress} . 53`, ...elements].join(", ")} }
  }
  chain untracked { type filter hook prerouting priority raw; policy accept;
    meta l4proto tcp notrack
  }
  chain untracked_replies { type filter hook output priority raw; policy accept;
    meta l4proto tcp notrack
  }
  chain intercept { type filter hook prerouting priority mangle; policy drop;
    meta nfproto ipv6 drop
    iifname != "hf*" drop
    ip saddr != ${own} drop
    meta l4proto tcp ip daddr { ${nowhere.join(", ")} } reject with tcp reset
    meta l4proto tcp ip daddr ${own} ip daddr . tcp dport != @services reject with tcp reset
    meta l4proto tcp tproxy ip to :${names.proxyPort} meta mark set ${names.proxyMark} accept
    udp dport 53 add @resolving { iifname limit rate over 500/second burst 1000 packets } drop
    udp dport 53 accept
    ip daddr { ${nowhere.join(", ")} } drop
    limit rate 1000/second reject with icmp type admin-prohibited
  }
  chain names { type nat hook prerouting priority dstnat; policy accept;
    udp dport 53 redirect to :${names.resolverPort}
  }
  chain input { type filter hook input priority filter; policy drop;
    meta l4proto tcp meta mark ${names.proxyMark} accept
    udp dport ${names.resolverPort} ct status dnat accept
  }
  chain forward { type filter hook forward priority filter; policy drop; }
}
`;
}
