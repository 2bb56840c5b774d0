// The DRAM model of docs/timing.md, section 9: one data beat a cycle, shared by both directions, in whole bursts.
//
// Plusargs: +latency=N (default 40), +directory=PATH. In a cycle in which `load` is high, <PATH>/<job>.image replaces the
// contents (the rest becomes zero); in one in which `dump` is high, the words that hold bytes dump_base to dump_limit - 1
// go to <PATH>/<job>.dump. `words` of the memory answer, everything behind them answers SLVERR. `violation` is sticky.
`timescale 1ns / 1ps
module dram #(
    parameter integer WORDS = 1 << 16,  // memory size in 64-bit words
    parameter integer DEPTH = 128       // bursts in each queue
) (
    input  logic        clk,
    input  logic        rst,
    input  logic [31:0] words,
    input  logic [31:0] job,
    input  logic        load,
    input  logic        dump,
    input  logic [31:0] dump_base,
    input  logic [31:0] dump_limit,
    output logic        violation,
    input  logic [31:0] axi__araddr,
    input  logic [ 7:0] axi__arlen,
    input  logic [ 2:0] axi__arsize,
    input  logic [ 1:0] axi__arburst,
    input  logic [ 1:0] axi__arid,
    input  logic        axi__arvalid,
    output logic        axi__arready,
    output logic [63:0] axi__rdata,
    output logic [ 1:0] axi__rresp,
    output logic        axi__rlast,
    output logic [ 1:0] axi__rid,
    output logic        axi__rvalid,
    input  logic        axi__rready,
    input  logic [31:0] axi__awaddr,
    input  logic [ 7:0] axi__awlen,
    input  logic [ 2:0] axi__awsize,
    input  logic [ 1:0] axi__awburst,
    input  logic        axi__awid,
    input  logic        axi__awvalid,
    output logic        axi__awready,
    input  logic [63:0] axi__wdata,
    input  logic [ 7:0] axi__wstrb,
    input  logic        axi__wlast,
    input  logic        axi__wvalid,
    output logic        axi__wready,
    output logic [ 1:0] axi__bresp,
    output logic        axi__bid,
    output logic        axi__bvalid,
    input  logic        axi__bready
);
  localparam logic [1:0] OKAY = 2'b00, SLVERR = 2'b10;

  bit [63:0] memory[0:WORDS-1];  // first byte most significant: the order of $fread
  integer    used = 0;           // words from here on are zero
  integer    latency;
  string     directory;
  integer    now = 0;            // the cycle that ends at this clock edge

  // The state of cycle now + 1 is computed with blocking assignments, in order, from what cycle now has shown.
  logic [31:0] ar_address[0:DEPTH-1], aw_address[0:DEPTH-1];
  logic [ 7:0] ar_length [0:DEPTH-1], aw_length [0:DEPTH-1];
  logic [ 1:0] ar_id     [0:DEPTH-1], b_resp    [0:DEPTH-1];
  logic        aw_id     [0:DEPTH-1], b_id      [0:DEPTH-1];
  integer      ar_due    [0:DEPTH-1], b_due     [0:DEPTH-1];  // first cycle in which the answer may begin
  integer      ar_in, ar_out, aw_in, aw_out, b_in, b_out;
  integer      read_word, read_left, write_word, write_left;  // next word and beats left of the burst under way
  logic        write_id, stalled;
  logic [ 1:0] read_id, write_resp;
  logic [73:0] stalled_beat;
  logic [63:0] word;
  integer      file, bytes, i;

  assign axi__arready = 1'b1;
  assign axi__awready = 1'b1;

  initial begin
    if (!$value$plusargs("latency=%d", latency)) latency = 40;
    if (!$value$plusargs("directory=%s", directory)) directory = ".";
    if (latency < 1) $fatal(1, "dram: latency must be at least 1, not %0d", latency);
  end

  function automatic logic [63:0] swap(input logic [63:0] value);
    swap = {value[7:0], value[15:8], value[23:16], value[31:24], value[39:32], value[47:40], value[55:48], value[63:56]};
  endfunction

  always @(posedge clk) begin
    if (load) load_image();
    if (dump) dump_words();
    if (rst) clear();
    else begin
      accept();
      move();
      start();
      answer();
    end
    now = now + 1;
  end

  task clear;
    {ar_in, ar_out, aw_in, aw_out, b_in, b_out} = 0;
    read_left = 0;
    write_left = 0;
    stalled = 0;
    violation <= 0;
    axi__rvalid <= 0;
    axi__rid <= 0;
    axi__wready <= 0;
    axi__bvalid <= 0;
    axi__bid <= 0;
  endtask

  task accept;
    if (axi__arvalid) begin
      check_burst(axi__araddr, axi__arlen, axi__arsize, axi__arburst);
      if (ar_in - ar_out >= DEPTH) violate("more reads than the queue holds");
      ar_address[ar_in%DEPTH] = axi__araddr;
      ar_length[ar_in%DEPTH] = axi__arlen;
      ar_id[ar_in%DEPTH] = axi__arid;
      ar_due[ar_in%DEPTH] = now + latency;
      ar_in = ar_in + 1;
    end
    if (axi__awvalid) begin
      check_burst(axi__awaddr, axi__awlen, axi__awsize, axi__awburst);
      if (aw_in - b_out >= DEPTH) violate("more writes than the queue holds");
      aw_address[aw_in%DEPTH] = axi__awaddr;
      aw_length[aw_in%DEPTH] = axi__awlen;
      aw_id[aw_in%DEPTH] = axi__awid;
      aw_in = aw_in + 1;
    end
  endtask

  task move;
    if (read_left != 0 && axi__rready) begin
      read_left = read_left - 1;
      read_word = read_word + 1;
    end
    if (stalled && {axi__wvalid, axi__wlast, axi__wstrb, axi__wdata} !== stalled_beat)
      violate("a write beat changes before it is taken");
    stalled = axi__wvalid && write_left == 0;
    stalled_beat = {axi__wvalid, axi__wlast, axi__wstrb, axi__wdata};
    if (write_left != 0 && axi__wvalid) begin
      if (axi__wlast !== (write_left == 1)) violate("wlast is not at the last beat of the burst");
      store();
      write_left = write_left - 1;
      write_word = write_word + 1;
      if (write_left == 0) begin
        b_id[b_in%DEPTH] = write_id;
        b_resp[b_in%DEPTH] = write_resp;
        b_due[b_in%DEPTH] = now + latency;
        b_in = b_in + 1;
      end
    end
  endtask

  task store;
    if (write_word >= words) write_resp = SLVERR;
    else begin
      word = swap(memory[write_word]);
      for (i = 0; i < 8; i = i + 1) if (axi__wstrb[i]) word[8*i+:8] = axi__wdata[8*i+:8];
      memory[write_word] = swap(word);
      if (write_word >= used) used = write_word + 1;
    end
  endtask

  task start;
    if (read_left == 0 && write_left == 0) begin
      if (aw_in != aw_out) begin
        write_word = aw_address[aw_out%DEPTH] >> 3;
        write_left = aw_length[aw_out%DEPTH] + 1;
        write_id = aw_id[aw_out%DEPTH];
        write_resp = OKAY;
        aw_out = aw_out + 1;
      end else if (ar_in != ar_out && ar_due[ar_out%DEPTH] <= now + 1) begin
        read_word = ar_address[ar_out%DEPTH] >> 3;
        read_left = ar_length[ar_out%DEPTH] + 1;
        read_id = ar_id[ar_out%DEPTH];
        ar_out = ar_out + 1;
      end
    end
    axi__wready <= write_left != 0;
    axi__rvalid <= read_left != 0;
    if (read_left != 0) begin
      axi__rid <= read_id;
      axi__rlast <= read_left == 1;
      axi__rresp <= read_word < words ? OKAY : SLVERR;
      axi__rdata <= read_word < words ? swap(memory[read_word]) : 64'b0;
    end else begin
      axi__rlast <= 1'bx;
      axi__rresp <= 2'bx;
      axi__rdata <= 64'bx;
    end
  endtask

  task answer;
    if (axi__bvalid && axi__bready) b_out = b_out + 1;
    axi__bvalid <= b_in != b_out && b_due[b_out%DEPTH] <= now + 1;
    axi__bid <= b_id[b_out%DEPTH];
    axi__bresp <= b_resp[b_out%DEPTH];
  endtask

  task check_burst(input logic [31:0] address, input logic [7:0] length, input logic [2:0] size, input logic [1:0] burst);
    if (address[2:0] !== 0) violate("a burst is not aligned to the bus");
    if (address[11:3] + length >= 512) violate("a burst crosses 4 KiB");
    if (size !== 3 || burst !== 1) violate("a burst is not INCR of 8 bytes");
  endtask

  task violate(input string reason);
    violation <= 1;
    $error("dram: %0s", reason);
  endtask

  task load_image;
    file = $fopen($sformatf("%0s/%0d.image", directory, job), "rb");
    if (file == 0) $fatal(1, "dram: cannot open %0s/%0d.image", directory, job);
    bytes = $fread(memory, file, 0, WORDS);
    $fclose(file);
    for (i = bytes / 8; i < used; i = i + 1) memory[i] = 0;
    used = bytes / 8;
  endtask

  task dump_words;
    file = $fopen($sformatf("%0s/%0d.dump", directory, job), "wb");
    if (file == 0) $fatal(1, "dram: cannot write %0s/%0d.dump", directory, job);
    for (i = dump_base / 8; i < (dump_limit + 7) / 8; i = i + 1) begin
      $fwrite(file, "%u", swap(memory[i]));  // eight bytes, the first one least significant
    end
    $fclose(file);
  endtask
endmodule
