// A network cable in user space, for kernels without `tc netem`: carries frames between two interfaces with a one-way
// delay and a rate, each way. `cluster/testbed` compiles and starts it; it needs the right to open raw sockets.
//
//   wire HOST_SIDE SWITCH_SIDE DELAY_MICROSECONDS RATE_BITS_PER_SECOND      a rate of 0 is none
//
// Frames keep their offloading header (PACKET_VNET_HDR), so that the sender's kernel may hand over one long frame instead
// of many, and checksums need not be computed. Towards the switch a frame arrives when its last bit would; from the
// switch to the host it is passed on at its first bit, since it was serialised before it came here: so a frame that
// crosses two wires pays for its length once, as small frames on a real network do.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>

enum {
    vnet_header = 10,            // struct virtio_net_hdr; its own header is not C99
    longest_frame = 66000,       // a GSO frame is below 64 KiB
    ring_frames = 1024,          // 66 MB of address space each way, touched as needed
};
static const int64_t longest_queue_ns = 50 * 1000 * 1000;    // what a switch of this rate might hold: then frames are lost

struct frame {
    int64_t due;
    size_t length;
    unsigned char bytes[longest_frame];
};

struct direction {
    struct frame *ring;
    unsigned head, tail;    // head is the oldest; both only grow
    int64_t free_at;        // when the last frame so far has been serialised
    int whole;              // whether a frame arrives with its last bit
};

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void die(const char *what) {
    fprintf(stderr, "wire: %s: %s\n", what, strerror(errno));
    exit(74);
}

static int open_interface(const char *name) {
    int end = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(ETH_P_ALL));
    if (end < 0) die("raw socket");
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(name)};
    int on = 1, bytes = 64 << 20;
    struct packet_mreq everything = {.mr_ifindex = address.sll_ifindex, .mr_type = PACKET_MR_PROMISC};
    if (address.sll_ifindex == 0 ||
        setsockopt(end, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on) != 0 ||
        setsockopt(end, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) != 0 ||
        setsockopt(end, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &everything, sizeof everything) != 0 ||
        setsockopt(end, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) != 0 ||
        setsockopt(end, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) != 0 ||
        bind(end, (struct sockaddr *)&address, sizeof address) != 0)
        die(name);
    return end;
}

// Takes what has come in from `end` into the queue; what does not fit is lost, as on a network.
static void take_in(int end, struct direction *way, int64_t delay, double ns_per_byte) {
    static unsigned char lost[longest_frame];
    for (int count = 0; count < 64; count++) {
        int full = way->tail - way->head >= ring_frames;
        struct frame *frame = &way->ring[way->tail % ring_frames];
        ssize_t length = recv(end, full ? lost : frame->bytes, longest_frame, 0);
        if (length <= 0) return;    // nothing more, or the interface is down
        int64_t time = now();
        if (full || (ns_per_byte > 0 && way->free_at > time + longest_queue_ns)) continue;
        int64_t start = way->free_at > time ? way->free_at : time;
        if (ns_per_byte == 0) start = time;
        // Preamble, checksum and gap of Ethernet are 24 bytes beside the frame.
        way->free_at = start + (int64_t)((double)(length - vnet_header + 24) * ns_per_byte);
        frame->due = (way->whole ? way->free_at : start) + delay;
        if (ns_per_byte == 0) frame->due = time + delay;
        frame->length = (size_t)length;
        way->tail++;
    }
}

// Sends what is due to `end`; returns when the next one is, or -1.
static int64_t pass_on(int end, struct direction *way) {
    while (way->head != way->tail) {
        struct frame *frame = &way->ring[way->head % ring_frames];
        int64_t time = now();
        if (frame->due > time) return frame->due;
        ssize_t sent = send(end, frame->bytes, frame->length, 0);
        // A full queue empties soon; any other error (the interface is down) loses the frame.
        if (sent < 0 && (errno == EAGAIN || errno == ENOBUFS)) return time + 50000;
        way->head++;
    }
    return -1;
}

int main(int count, char **arguments) {
    if (count != 5) {
        fputs("usage: wire HOST_SIDE SWITCH_SIDE DELAY_MICROSECONDS RATE_BITS_PER_SECOND\n", stderr);
        return 64;
    }
    int64_t delay = strtoll(arguments[3], NULL, 10) * 1000;
    double rate = strtod(arguments[4], NULL), ns_per_byte = rate > 0 ? 8e9 / rate : 0;
    int ends[2] = {open_interface(arguments[1]), open_interface(arguments[2])};
    struct direction ways[2] = {{.whole = 1}, {.whole = 0}};
    for (int i = 0; i < 2; i++) {
        ways[i].ring = malloc(sizeof(struct frame) * ring_frames);
        if (!ways[i].ring) die("memory");
    }
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    if (timer < 0) die("timer");
    // A cable takes no time on anybody's processor: this one goes first, and wakes up when it said.
    setpriority(PRIO_PROCESS, 0, -20);
    prctl(PR_SET_TIMERSLACK, 1UL);
    for (;;) {
        int64_t next = -1;
        for (int i = 0; i < 2; i++) {
            int64_t due = pass_on(ends[!i], &ways[i]);
            if (due >= 0 && (next < 0 || due < next)) next = due;
        }
        struct itimerspec alarm = {0};
        if (next >= 0) {
            alarm.it_value.tv_sec = next / 1000000000;
            alarm.it_value.tv_nsec = next % 1000000000;
        }
        timerfd_settime(timer, TFD_TIMER_ABSTIME, &alarm, NULL);
        struct pollfd polled[3] = {{ends[0], POLLIN, 0}, {ends[1], POLLIN, 0}, {timer, POLLIN, 0}};
        if (poll(polled, 3, -1) < 0 && errno != EINTR) die("poll");
        for (int i = 0; i < 2; i++)
            if (polled[i].revents) take_in(ends[i], &ways[i], delay, ns_per_byte);
    }
}
