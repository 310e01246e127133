// A long, lossy, rate-limited link between two network namespaces, in user space: packets between two TUN devices.
// usage: wan NS_A DEV_A NS_B DEV_B DELAY_MS LOSS_PERCENT RATE_MBIT QUEUE_KB
// Delay, loss and rate are those of one direction. A line "DELAY LOSS RATE QUEUE" on standard input changes the link;
// the end of standard input ends it.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#define N 65536
typedef struct { double due; int len; unsigned char *data; } Pkt;
typedef struct { Pkt q[N]; unsigned head, tail; double free_at; long bytes; } Line;
static Line lines[2];
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec / 1e9; }
static int tun(const char *ns, const char *dev) {
  char path[128]; snprintf(path, sizeof path, "/var/run/netns/%s", ns);
  int fd = open(path, O_RDONLY); if (fd < 0 || setns(fd, CLONE_NEWNET)) { perror(ns); exit(1); } close(fd);
  int t = open("/dev/net/tun", O_RDWR | O_NONBLOCK); struct ifreq r = {0};
  r.ifr_flags = IFF_TUN | IFF_NO_PI; strncpy(r.ifr_name, dev, IFNAMSIZ - 1);
  if (t < 0 || ioctl(t, TUNSETIFF, &r)) { perror(dev); exit(1); }
  return t;
}
int main(int argc, char **argv) {
  if (argc < 9) { fprintf(stderr, "usage\n"); return 2; }
  int fd[2] = { tun(argv[1], argv[2]), tun(argv[3], argv[4]) };
  double delay = atof(argv[5]) / 1e3, loss = atof(argv[6]) / 100, rate = atof(argv[7]) * 1e6 / 8; long cap = atol(argv[8]) * 1024;
  srand48(7); unsigned char buf[65536]; char line[128]; int typed = 0;
  puts("ready"); fflush(stdout);
  for (;;) {
    double t = now(), next = t + 1; 
    for (int d = 0; d < 2; d++) { Line *l = &lines[d];
      while (l->head != l->tail && l->q[l->head % N].due <= t) { Pkt *p = &l->q[l->head % N]; 
        if (write(fd[1 - d], p->data, p->len) < 0 && errno == EAGAIN) break;
        free(p->data); l->head++; }
      if (l->head != l->tail && l->q[l->head % N].due < next) next = l->q[l->head % N].due; }
    struct pollfd pf[3] = {{fd[0], POLLIN, 0}, {fd[1], POLLIN, 0}, {0, POLLIN, 0}};
    struct timespec ts; double w = next - now(); if (w < 0) w = 0; ts.tv_sec = (long)w; ts.tv_nsec = (w - (long)w) * 1e9;
    ppoll(pf, 3, &ts, NULL);
    if (pf[2].revents) { int n = read(0, line + typed, sizeof line - 1 - typed); if (n <= 0) return 0;
      typed += n; line[typed] = 0;
      if (strchr(line, '\n') || typed == sizeof line - 1) { typed = 0; double d, p, r; long q;
        if (sscanf(line, "%lf %lf %lf %ld", &d, &p, &r, &q) == 4) { delay = d / 1e3; loss = p / 100; rate = r * 1e6 / 8; cap = q * 1024; } } }
    for (int d = 0; d < 2; d++) { Line *l = &lines[d];
      for (int k = 0; k < 64; k++) { int n = read(fd[d], buf, sizeof buf); if (n <= 0) break;
        t = now(); if (l->free_at < t) l->free_at = t;
        double backlog = (l->free_at - t) * rate;
        if (l->tail - l->head >= N || backlog + n > cap || drand48() < loss) continue;
        l->free_at += n / rate; Pkt *p = &l->q[l->tail % N]; p->due = l->free_at + delay; p->len = n; p->data = malloc(n); memcpy(p->data, buf, n); l->tail++; } }
  }
}
