import sandsock as socketserver
class myTCPHandle(socketserver.StreamRequestHandler):
    def handle(self):                             #定义自己的请求处理函数
        print("connet from %s:%s" % self.client_address)         #打印客户端的地址
        self.data=self.rfile.readline()                   #读取客户端的传过来的一行数据
        print(str(self.data,encoding="utf-8"))
        self.wfile.write(bytes('你好',encoding='utf-8'))         #发送数据‘你好’给客户端
socketserver.serve(myTCPHandle)
